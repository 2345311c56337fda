"""A whole recognizer of the published recipe: three plain exports and the loop that runs them.

Front end, greedy loop and names of inputs and outputs are those of onnxruntime-genai (of
sherpa-onnx where `predicts_after_blank` is false), written down as plainly as they are there:
chunks of a fixed size behind a cache of mel frames that starts with zeros, and the joint network
once for every frame.
"""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from quantkit.bench.ports import ENCODER_FRAME_S
from quantkit.bench.step import stepped
from quantkit.bench.subjects import OnnxEncoder
from quantkit.core.errors import InputError
from quantkit.runtime.audio import read_blocks
from quantkit.runtime.mel import LogMel
from quantkit.runtime.sessions import open_session
from quantkit.runtime.sizes import MelSettings
from quantkit.runtime.transcriber import TimedToken, Transcript

ENCODER, DECODER, JOINER = "encoder.onnx", "decoder.onnx", "joiner.onnx"
#: Marks a directory as such a recognizer.
SETTINGS_FILE = "exported.json"
RATE, HOP = 16000, 160

Array = NDArray[Any]


@dataclass(frozen=True)
class ExportedSettings:
    """What the graphs do not say. Frames are mel frames of 10 ms."""

    chunk_frames: int
    pre_encode_frames: int
    max_symbols: int
    predicts_after_blank: bool
    """Whether the prediction network runs again after a blank, which changes nothing for it."""

    @classmethod
    def load(cls, path: Path) -> ExportedSettings:
        """Read what `benchmarks.incumbent` has written.

        Raises:
            InputError: it is something else.
        """
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{path}: not as benchmarks.incumbent writes it ({error}); run it again"
            ) from error


class ExportedRecognizer(OnnxEncoder):
    """Three exports in memory."""

    def __init__(self, directory: Path, threads: int) -> None:
        self._settings = ExportedSettings.load(directory / SETTINGS_FILE)
        self._encoder = open_session(directory / ENCODER, threads)
        super().__init__(directory / ENCODER, threads, self._encoder)
        # As the other recognizers: these are too small for threads.
        self._decoder = open_session(directory / DECODER, 1)
        self._joiner = open_session(directory / JOINER, 1)

    def transcribe(self, audio: Path) -> Transcript:
        """Stream a file, one chunk of silence behind it. The tokens come without their pieces."""
        began = time.perf_counter()
        ports, settings = self._step.ports, self._settings
        encoder = stepped(self._encoder, ports)
        search = GreedySearch(self._decoder, self._joiner, settings)
        mels = ports.features.shape[2]
        mel = LogMel(_mel(mels), RATE)
        silence = np.zeros(settings.chunk_frames * HOP, dtype=np.float32)
        frames = np.zeros((settings.pre_encode_frames, mels), dtype=np.float32)
        window = settings.pre_encode_frames + settings.chunk_frames
        samples = -len(silence)
        for block in itertools.chain(read_blocks(audio, RATE), [silence]):
            samples += len(block)
            frames = np.concatenate([frames, mel.push(block)])
            while len(frames) >= window:
                encoder.inputs[ports.features.name][0] = frames[:window]
                encoder.run()
                search.decode(encoder.outputs[ports.outputs[0].name])
                frames = frames[settings.chunk_frames :]
        tokens = tuple(
            TimedToken(token, "", frame, frame * ENCODER_FRAME_S) for token, frame in search.tokens
        )
        return Transcript("", tokens, samples / RATE, time.perf_counter() - began)


class GreedySearch:
    """Frame by frame, one call of the joint for each symbol, blanks included."""

    def __init__(
        self,
        decoder: ort.InferenceSession,
        joiner: ort.InferenceSession,
        settings: ExportedSettings,
    ) -> None:
        self._decoder, self._joiner, self._settings = decoder, joiner, settings
        state = np.zeros(decoder.get_inputs()[1].shape, dtype=np.float32)
        self._blank = joiner.get_outputs()[0].shape[-1] - 1
        self._before: tuple[int, Array, Array] = (self._blank, state, state)
        self._predicted: list[Array] | None = None
        self._frames = 0
        self.tokens: list[tuple[int, int]] = []
        """Tokens so far with their encoder frames."""

    def decode(self, encoded: Array) -> None:
        """Take the next encoder frames, float32 [1, T, width]."""
        for frame in range(encoded.shape[1]):
            for _ in range(self._settings.max_symbols):
                token, hidden, cell = self._next(encoded[:, frame : frame + 1])
                if token == self._blank:
                    break
                self.tokens.append((token, self._frames + frame))
                self._before, self._predicted = (token, hidden, cell), None
        self._frames += encoded.shape[1]

    def _next(self, frame: Array) -> tuple[int, Array, Array]:
        """The best symbol of a frame, and the states if it is a token."""
        if self._predicted is None:
            token, hidden, cell = self._before
            feeds = {"targets": np.array([[token]]), "h_in": hidden, "c_in": cell}
            self._predicted = self._decoder.run(["decoder_output", "h_out", "c_out"], feeds)
        prediction, hidden, cell = self._predicted
        feeds = {"encoder_output": frame, "decoder_output": prediction.reshape(1, 1, -1)}
        (logits,) = self._joiner.run(["joint_output"], feeds)
        token = int(logits.argmax())
        if token == self._blank and self._settings.predicts_after_blank:
            self._predicted = None
        return token, hidden, cell


def _mel(bands: int) -> MelSettings:
    """The front end that these runtimes are told to compute."""
    return MelSettings(
        n_fft=512,
        window_length=400,
        hop_length=HOP,
        n_mels=bands,
        preemphasis=0.97,
        log_guard=2.0**-24,
        f_min=0.0,
        f_max=RATE / 2,
    )
