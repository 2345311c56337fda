"""What each part of a recognizer takes of the time: front end, encoder, decoder.

`python -m benchmarks.parts ARTIFACT AUDIO...` streams the files, one after the other, and
prints milliseconds a chunk, the decoder's time over the encoder's, and the whole over the
encoder's.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from quantkit.core.errors import QuantkitError
from quantkit.runtime.audio import read_audio
from quantkit.runtime.decoders.greedy import GreedyDecoder, Token
from quantkit.runtime.decoders.transducer import Prediction
from quantkit.runtime.encoders.cache_aware import EncoderStep
from quantkit.runtime.stream_state import StreamState
from quantkit.runtime.transcriber import Transcriber

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Parts:
    """Seconds that the parts took for so many chunks, and what they found."""

    chunks: int
    front_end_s: float
    encoder_s: float
    decoder_s: float
    tokens: list[Token]

    @property
    def whole_over_encoder(self) -> float:
        """How many times longer all parts took than the encoder alone."""
        return (self.front_end_s + self.encoder_s + self.decoder_s) / self.encoder_s

    @property
    def decoder_over_encoder(self) -> float:
        """The decoder's time over the encoder's."""
        return self.decoder_s / self.encoder_s


def time_parts(transcriber: Transcriber, audio: Path) -> Parts:
    """Stream one file through the parts, the way that `Stream` does.

    Raises:
        InputError: the audio cannot be used.
    """
    settings = transcriber.settings
    decoder: GreedyDecoder[Prediction] = GreedyDecoder(transcriber.transducer, settings.max_symbols)
    state = StreamState(settings, transcriber.vocabulary, decoder.start())
    encoder = EncoderStep(transcriber.encoder, transcriber.settings)
    samples = read_audio(audio, settings.sample_rate)
    parts = Parts(0, 0.0, 0.0, 0.0, state.tokens)
    chunk = round(settings.chunk_s * settings.sample_rate)
    pushes = [samples[start : start + chunk] for start in range(0, len(samples), chunk)]
    for push in [*pushes, None]:
        _, seconds = _clocked(state.end) if push is None else _clocked(state.take, push)
        parts.front_end_s += seconds
        while state.waiting:
            encoded, seconds = _clocked(encoder.step, state.waiting.popleft())
            parts.encoder_s += seconds
            _, seconds = _clocked(decoder.extend, [state.hypothesis], encoded, [encoded.shape[1]])
            parts.decoder_s += seconds
            parts.chunks += 1
    return parts


def _clocked(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, float]:
    began = time.perf_counter()
    result = work(*args, **kwargs)
    return result, time.perf_counter() - began


def added(found: Sequence[Parts]) -> Parts:
    """All files as one."""
    return Parts(
        sum(parts.chunks for parts in found),
        sum(parts.front_end_s for parts in found),
        sum(parts.encoder_s for parts in found),
        sum(parts.decoder_s for parts in found),
        [token for parts in found for token in parts.tokens],
    )


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.parts", description=__doc__)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("audio", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, help="of the encoder")
    given = parser.parse_args(arguments)
    try:
        transcriber = Transcriber.load(given.artifact, given.threads)
        time_parts(transcriber, given.audio[0])  # the first steps take longer
        parts = added([time_parts(transcriber, path) for path in given.audio])
    except QuantkitError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    times = {
        "front end": parts.front_end_s,
        "encoder": parts.encoder_s,
        "decoder": parts.decoder_s,
    }
    for name, seconds in times.items():
        sys.stdout.write(f"{name:<10} {1000 * seconds / parts.chunks:8.2f} ms a chunk\n")
    rate = len(parts.tokens) / parts.chunks
    sys.stdout.write(
        f"{parts.chunks} chunks, {rate:.1f} tokens a chunk; decoder over encoder "
        f"{parts.decoder_over_encoder:.3f}, whole over encoder {parts.whole_over_encoder:.3f}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
