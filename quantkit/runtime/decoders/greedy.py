"""Greedy transducer decoding across the chunks of streams, several of them at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from quantkit.core.errors import InputError

Array = NDArray[np.float32]

P = TypeVar("P")


class TransducerModel(Protocol[P]):
    """What decoding needs of a transducer; `transducer.Transducer` is one.

    Each of N streams has a prediction of its own.
    """

    blank_id: int

    def start(self) -> P:
        """The prediction before any token."""
        ...

    def advance(self, predictions: Sequence[P], tokens: Sequence[int]) -> list[P]:
        """The predictions after one more token each."""
        ...

    def logits(self, encoded: Array, predictions: Sequence[P]) -> Array:
        """Joint logits of frames [N, T, dim] as [N, T, vocabulary + 1]."""
        ...


@dataclass(frozen=True)
class Token:
    """An emitted token and the encoder frame, counted from the stream's start, that emitted it."""

    id: int
    frame: int


@dataclass
class Hypothesis(Generic[P]):
    """What was decoded of one stream: its tokens, the prediction after them, frames seen."""

    prediction: P
    tokens: list[Token] = field(default_factory=list)
    frames: int = 0


class GreedyDecoder(Generic[P]):
    """Takes the most likely symbol until a frame says blank, or has said `max_symbols` others.

    The order of decisions is NeMo's `GreedyRNNTInfer`. A blank leaves the prediction as it was, so
    the joint network runs once for all remaining frames of a chunk and again only after a token.
    It holds no stream's state: any number of streams, in several threads, may share it.
    """

    def __init__(self, model: TransducerModel[P], max_symbols: int) -> None:
        self._model = model
        self._max_symbols = max_symbols

    def start(self) -> Hypothesis[P]:
        """A new stream, of which nothing was heard yet."""
        return Hypothesis(self._model.start())

    def extend(
        self, hypotheses: Sequence[Hypothesis[P]], encoded: Array, lengths: Sequence[int]
    ) -> None:
        """Decode the next frames of streams, in place; none depends on the others.

        Args:
            hypotheses: of N streams.
            encoded: their frames, float32 [N, T, dim].
            lengths: how many of the T frames each stream has.

        Raises:
            InputError: the joint network says NaN, which is larger and smaller than nothing.
        """
        cursors = [
            _Cursor(*one) for one in zip(hypotheses, encoded, lengths, strict=True) if one[2]
        ]
        while cursors:
            predictions = [cursor.hypothesis.prediction for cursor in cursors]
            logits = self._model.logits(_joined(cursors), predictions)
            if np.isnan(logits.sum()):
                raise InputError(
                    "joint.onnx: its logits are not numbers (NaN) for finite frames. The artifact "
                    "is damaged or was quantized from such weights; build it again."
                )
            choices = logits.argmax(axis=-1)
            cursors = [
                cursor
                for cursor, row in zip(cursors, choices, strict=True)
                if cursor.hear(row, self._model.blank_id)
            ]
            self._advance([cursor.hypothesis for cursor in cursors])
            cursors = [cursor for cursor in cursors if cursor.frames_left(self._max_symbols)]
        for hypothesis, length in zip(hypotheses, lengths, strict=True):
            hypothesis.frames += length

    def _advance(self, hypotheses: Sequence[Hypothesis[P]]) -> None:
        """Let the last token of each into its prediction."""
        if hypotheses:
            predictions = self._model.advance(
                [hypothesis.prediction for hypothesis in hypotheses],
                [hypothesis.tokens[-1].id for hypothesis in hypotheses],
            )
            for hypothesis, prediction in zip(hypotheses, predictions, strict=True):
                hypothesis.prediction = prediction


class _Cursor(Generic[P]):
    """One stream's place among its new frames, of which it has at least one left."""

    def __init__(self, hypothesis: Hypothesis[P], encoded: Array, length: int) -> None:
        self.hypothesis = hypothesis
        self._encoded = encoded[:length]
        self._frame = self._symbols = 0

    @property
    def ahead(self) -> Array:
        """The frames from the place on, float32 [T, dim]."""
        return self._encoded[self._frame :]

    def hear(self, choices: NDArray[np.intp], blank_id: int) -> bool:
        """Pass the blanks ahead and take the token after them; False if there is none.

        `choices` are the best symbols of the frames ahead, and of padding after them.
        """
        spoken = np.flatnonzero(choices[: len(self.ahead)] != blank_id)
        if not len(spoken):
            return False
        blanks = int(spoken[0])
        if blanks:
            self._frame, self._symbols = self._frame + blanks, 0
        token = Token(int(choices[blanks]), self.hypothesis.frames + self._frame)
        self.hypothesis.tokens.append(token)
        self._symbols += 1
        return True

    def frames_left(self, max_symbols: int) -> bool:
        """Whether frames are left, after the present one if that has said all it may."""
        if self._symbols == max_symbols:
            self._frame, self._symbols = self._frame + 1, 0
        return self._frame < len(self._encoded)


def _joined(cursors: Sequence[_Cursor[P]]) -> Array:
    """The frames ahead of each, padded with zeros at the end, float32 [N, T, dim]."""
    parts = [cursor.ahead for cursor in cursors]
    longest = max(len(part) for part in parts)
    joined = np.zeros((len(parts), longest, parts[0].shape[1]), dtype=np.float32)
    for row, part in zip(joined, parts, strict=True):
        row[: len(part)] = part
    return joined


def greedy_path(
    frames: int, token_frames: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Frame and prediction state of every decision: the tokens of a frame, then its blank.

    Args:
        frames: encoder frames of the utterance.
        token_frames: non-decreasing, the frame that emitted each token.

    Returns:
        Two int64 arrays [frames + tokens]; the state is the number of tokens emitted before.
    """
    emitted = np.bincount(np.asarray(token_frames, dtype=np.int64), minlength=frames)
    rows = np.repeat(np.arange(frames), emitted + 1)
    return rows, np.arange(len(rows)) - rows
