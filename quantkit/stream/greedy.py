"""Greedy transducer decoding across the chunks of a stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

P = TypeVar("P")


class TransducerModel(Protocol[P]):
    """What decoding needs of a transducer; `quantkit.stream.Transducer` is one."""

    blank_id: int

    def start(self) -> P:
        """The prediction before any token."""
        ...

    def advance(self, prediction: P, token: int) -> P:
        """The prediction after one more token."""
        ...

    def logits(self, encoded: Array, prediction: P) -> Array:
        """Joint logits of frames [1, T, dim] as [T, vocabulary + 1]."""
        ...


@dataclass(frozen=True)
class Token:
    """An emitted token and the encoder frame, counted from the stream's start, that emitted it."""

    id: int
    frame: int


#: Called for every decision with the encoder frame, its logits [vocabulary + 1] and the choice.
Observer = Callable[[int, Array, int], None]


class GreedyDecoder(Generic[P]):
    """Takes the most likely symbol until a frame says blank, or has said `max_symbols` others.

    The order of decisions is NeMo's `GreedyRNNTInfer`. A blank leaves the prediction as it was, so
    the joint network runs once for all remaining frames of a chunk and again only after a token.
    """

    def __init__(
        self, model: TransducerModel[P], max_symbols: int, observe: Observer | None = None
    ) -> None:
        self._model = model
        self._max_symbols = max_symbols
        self._observe = observe
        self.reset()

    def reset(self) -> None:
        """Start a new stream."""
        self._prediction = self._model.start()
        self._frames = 0

    def decode(self, encoded: Array) -> list[Token]:
        """The tokens of the next encoder frames, float32 [1, T, dim] with any T."""
        tokens: list[Token] = []
        frame, symbols, total = 0, 0, encoded.shape[1]
        while frame < total:
            logits = self._model.logits(encoded[:, frame:], self._prediction)
            choices = logits.argmax(axis=-1)
            spoken = np.flatnonzero(choices != self._model.blank_id)
            blanks = int(spoken[0]) if len(spoken) else len(choices)
            self._report(frame, logits[: blanks + 1], choices)
            if blanks:
                frame, symbols = frame + blanks, 0
            if frame == total:
                break
            token = int(choices[blanks])
            tokens.append(Token(token, self._frames + frame))
            self._prediction = self._model.advance(self._prediction, token)
            symbols += 1
            if symbols == self._max_symbols:
                frame, symbols = frame + 1, 0
        self._frames += total
        return tokens

    def _report(self, frame: int, logits: Array, choices: NDArray[np.intp]) -> None:
        if self._observe is not None:
            for offset, row in enumerate(logits):
                self._observe(self._frames + frame + offset, row, int(choices[offset]))
