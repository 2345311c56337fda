"""Streams audio through an artifact: the runtime's front door."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import ArrayLike

from quantkit.core.errors import InputError
from quantkit.runtime.audio import AudioBlocks, read_blocks
from quantkit.runtime.contract import Graph
from quantkit.runtime.decoders.greedy import GreedyDecoder, Token
from quantkit.runtime.decoders.transducer import Prediction, Transducer
from quantkit.runtime.encoders.cache_aware import EncoderStep
from quantkit.runtime.files import PlayedFile, play
from quantkit.runtime.integrity import check_artifact
from quantkit.runtime.pool import StreamPool
from quantkit.runtime.prepared import open_prepared
from quantkit.runtime.sessions import check_session, open_session
from quantkit.runtime.settings import SETTINGS_FILE, StreamingSettings
from quantkit.runtime.stream_state import StreamState
from quantkit.runtime.tokens import TOKENS_FILE, Vocabulary


@dataclass(frozen=True)
class TimedToken:
    """A token with its piece and the time in seconds at which its encoder frame starts."""

    id: int
    piece: str
    frame: int
    time_s: float


@dataclass(frozen=True)
class Transcript:
    """What was said in a file, and how long the audio and its transcription took (seconds).

    `replaced_samples` of the file were made silent (see `quantkit.runtime.samples`); `lost_frames`
    of the encoder were not decoded since they were not finite.
    """

    text: str
    tokens: tuple[TimedToken, ...]
    duration_s: float
    elapsed_s: float
    replaced_samples: int = 0
    lost_frames: int = 0

    @property
    def rtfx(self) -> float:
        """Seconds of audio per second of work."""
        return self.duration_s / self.elapsed_s


class Transcriber:
    """An artifact in memory. Its streams share the sessions and may run in several threads."""

    def __init__(
        self,
        settings: StreamingSettings,
        vocabulary: Vocabulary,
        encoder: ort.InferenceSession,
        transducer: Transducer,
    ) -> None:
        self.settings = settings
        self.vocabulary = vocabulary
        self.encoder = encoder
        self.transducer = transducer

    @classmethod
    def load(
        cls,
        directory: Path,
        threads: int | None = None,
        *,
        prepare: bool = False,
        check: bool = False,
    ) -> Transcriber:
        """Open an artifact directory; `threads` None lets ONNX Runtime choose.

        `prepare` keeps in it what makes the next load faster; see `quantkit.runtime.prepared`.
        Graphs, settings and tokens are compared with the manifest by their digests, weights by
        their size; with `check` all files, and what is prepared, by their digests.

        Raises:
            InputError: a file is missing or damaged, or the files do not belong together.
        """
        if not directory.is_dir():
            raise InputError(
                f"{directory}: no such artifact directory. 'quantkit build RECIPE' writes one."
            )
        check_artifact(directory, everything=check)
        settings = StreamingSettings.load(directory / SETTINGS_FILE)
        vocabulary = Vocabulary.load(directory / TOKENS_FILE)
        if len(vocabulary.pieces) != settings.vocabulary_size:
            raise InputError(
                f"{directory / TOKENS_FILE}: has {len(vocabulary.pieces)} pieces before the blank; "
                f"{SETTINGS_FILE} says vocabulary_size {settings.vocabulary_size}. "
                f"Use the files of one build together."
            )

        def session(graph: Graph, threads: int | None) -> ort.InferenceSession:
            path = directory / graph.file
            if prepare:
                opened = open_prepared(path, threads, check=check)
            else:
                opened = open_session(path, threads)
            check_session(opened, graph, path)
            return opened

        contract = settings.contract
        encoder = session(contract.encoder, threads)
        # These two are small: more threads would only take cores from the encoder's.
        transducer = Transducer(
            session(contract.predictor, 1), session(contract.joint, 1), settings
        )
        return cls(settings, vocabulary, encoder, transducer)

    def stream(self) -> Stream:
        """A new stream, independent of all others."""
        return Stream(self)

    def transcribe(self, path: Path) -> Transcript:
        """Stream a whole audio file, of any rate and length.

        Raises:
            InputError: the audio cannot be used; see `quantkit.runtime.audio.read_blocks`.
        """
        start = time.perf_counter()
        stream = self.stream()
        blocks = read_blocks(path, self.settings.sample_rate)
        for block in blocks:
            stream.push(block)
        stream.flush()
        return self.transcript(stream, blocks, time.perf_counter() - start)

    def pool(self, slots: int) -> StreamPool:
        """Room for `slots` live streams that share the encoder's steps."""
        return StreamPool(self.settings, self.vocabulary, self.encoder, self.transducer, slots)

    def transcribe_many(
        self, paths: Sequence[Path], streams: int = 8
    ) -> Iterator[Transcript | InputError]:
        """Stream audio files, of any rates and lengths, `streams` of them at a time.

        Yields, in the order of `paths`, the transcript of each file as soon as it and those before
        it are done, or what is wrong with the file. A file's `elapsed_s` is the time it took beside
        the others.
        """
        finished: dict[int, Transcript | InputError] = {}
        upcoming = 0
        slots = max(1, min(streams, len(paths)))
        for file in play(paths, self.pool(slots), slots, self.settings.sample_rate):
            finished[file.index] = file.error or self._heard(file)
            while upcoming in finished:
                yield finished.pop(upcoming)
                upcoming += 1

    def transcript(self, stream: StreamState, blocks: AudioBlocks, elapsed_s: float) -> Transcript:
        """What was heard of a file's blocks by a stream that has ended.

        Raises:
            InputError: nothing was, since no encoding was finite.
        """
        if 0 < stream.lost_frames == stream.hypothesis.frames:
            raise InputError(
                f"{self.settings.contract.encoder.file}: none of its frames are finite "
                "numbers, for sound that is. The artifact "
                "is damaged or was quantized from such weights; build it again."
            )
        return Transcript(
            stream.text,
            self.timed(stream.tokens),
            stream.duration_s,
            elapsed_s,
            blocks.replaced_samples + stream.replaced_samples,
            stream.lost_frames,
        )

    def _heard(self, file: PlayedFile) -> Transcript | InputError:
        try:
            return self.transcript(file.stream, file.blocks, file.elapsed_s)
        except InputError as error:
            return error

    def timed(self, tokens: Sequence[Token]) -> tuple[TimedToken, ...]:
        """Tokens with their pieces and times."""
        frame_s, pieces = self.settings.encoder_frame_s, self.vocabulary.pieces
        return tuple(
            TimedToken(token.id, pieces[token.id], token.frame, round(token.frame * frame_s, 6))
            for token in tokens
        )


class Stream(StreamState):
    """One stream of audio through a transcriber. `flush` ends it."""

    def __init__(self, transcriber: Transcriber) -> None:
        self._encoder = EncoderStep(transcriber.encoder, transcriber.settings)
        self._decoder: GreedyDecoder[Prediction] = GreedyDecoder(
            transcriber.transducer, transcriber.settings.max_symbols
        )
        super().__init__(transcriber.settings, transcriber.vocabulary, self._decoder.start())

    def push(self, samples: ArrayLike) -> list[Token]:
        """Take mono samples at the artifact's rate, [n] of any n; return the tokens they add.

        See `StreamState.take` for what samples are.

        Raises:
            TypeError: the samples are of a type that is no sound, or whose range is not known.
            ValueError: the samples are not one-dimensional, or the stream has ended.
        """
        self.take(samples)
        return self._decode()

    def flush(self) -> list[Token]:
        """End the stream; return the tokens that its last samples add."""
        self.end()
        return self._decode()

    def _decode(self) -> list[Token]:
        known = len(self.tokens)
        while self.waiting:
            encoded = self._encoder.step(self.waiting.popleft())
            if not np.isfinite(encoded).all():
                self.lose(encoded.shape[1])
                self._encoder.reset()
                continue
            self._decoder.extend([self.hypothesis], encoded, [encoded.shape[1]])
        return self.tokens[known:]
