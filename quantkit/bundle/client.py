"""A bundle's graphs, run the way its runtime runs them: for checks that need no such runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from quantkit.bundle import genai, sherpa
from quantkit.runtime.decoders.transducer import Prediction
from quantkit.runtime.settings import StreamingSettings

Array = NDArray[np.float32]
Open = Callable[[Path], ort.InferenceSession]

_TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}


@dataclass(frozen=True)
class Convention:
    """How a runtime calls the graphs.

    Attributes:
        files: the graphs by the names encoder, decoder and joiner.
        leading: whether a chunk comes with the mel frames before it.
        time_major: whether features are [1, frames, mels] and encoded frames [1, steps, dim].
        has_length: whether encoder and decoder take a length.
    """

    files: dict[str, str]
    leading: bool
    time_major: bool
    has_length: bool


CONVENTIONS = {
    "genai": Convention(genai.FILES, leading=True, time_major=True, has_length=False),
    "sherpa": Convention(sherpa.FILES, leading=False, time_major=False, has_length=True),
}


class Client:
    """Three sessions and the conventions of one runtime. One stream at a time."""

    def __init__(
        self, bundle: Path, layout: str, settings: StreamingSettings, opened: Open
    ) -> None:
        self._convention = CONVENTIONS[layout]
        self._settings = settings
        files = self._convention.files
        self._encoder, self._decoder, self._joiner = (
            opened(bundle / files[name]) for name in ("encoder", "decoder", "joiner")
        )
        self.blank_id = settings.blank_id

    def encode(self, frames: Array) -> Iterator[Array]:
        """Encoded frames [1, steps, dim] of each whole chunk of mel frames [n, mels]."""
        settings, convention = self._settings, self._convention
        inputs = self._encoder.get_inputs()
        states = [zeros(node) for node in inputs[-3:]]
        before = settings.leading_frames
        padded = np.concatenate([np.zeros((before, frames.shape[1]), np.float32), frames])
        for start in range(0, len(frames) - settings.chunk_frames + 1, settings.chunk_frames):
            end = start + before + settings.chunk_frames
            rows = padded[start if convention.leading else start + before : end]
            features = (rows if convention.time_major else rows.T)[None]
            length = [np.array([len(rows)])] if convention.has_length else []
            feeds = zip(inputs, [features, *length, *states], strict=True)
            encoded, _, *states = self._encoder.run(
                None, {node.name: value for node, value in feeds}
            )
            yield encoded if convention.time_major else encoded.transpose(0, 2, 1)

    def start(self) -> Prediction:
        """The prediction before any token."""
        hidden, cell = (zeros(node) for node in self._decoder.get_inputs()[-2:])
        return self._predict(Prediction(hidden, hidden, cell), self.blank_id)

    def advance(self, predictions: Sequence[Prediction], tokens: Sequence[int]) -> list[Prediction]:
        """The prediction after one more token; of one stream."""
        return [self._predict(predictions[0], tokens[0])]

    def logits(self, encoded: Array, predictions: Sequence[Prediction]) -> Array:
        """Joint logits [1, T, vocabulary + 1] of frames [1, T, dim], frame by frame."""
        first, second = (node.name for node in self._joiner.get_inputs())
        shape = (1, 1, -1) if self._convention.time_major else (1, -1, 1)
        prediction = predictions[0].output.reshape(shape)
        rows = []
        for frame in encoded[0]:
            feeds = {first: frame.reshape(shape), second: prediction}
            rows.append(self._joiner.run(None, feeds)[0].reshape(-1))
        return np.array(rows)[None]

    def _predict(self, before: Prediction, token: int) -> Prediction:
        names = [node.name for node in self._decoder.get_inputs()]
        kind = _TYPES[self._decoder.get_inputs()[0].type]
        length = [np.ones(1, kind)] if self._convention.has_length else []
        values: list[NDArray[Any]] = [
            np.array([[token]], kind),
            *length,
            before.hidden,
            before.cell,
        ]
        output, *_, hidden, cell = self._decoder.run(None, dict(zip(names, values, strict=True)))
        return Prediction(output, hidden, cell)


def zeros(node: ort.NodeArg) -> NDArray[Any]:
    """Zeros of a graph input's type and shape, the batch being 1."""
    shape = [size if isinstance(size, int) else 1 for size in node.shape]
    return np.zeros(shape, _TYPES[node.type])
