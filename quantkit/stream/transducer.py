"""The prediction and joint networks of a transducer as two plain functions on arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from quantkit.stream.settings import StreamingSettings

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Prediction:
    """The prediction network after some tokens.

    `output` float32 [1, 1, hidden]; `hidden` and `cell` float32 [layers, 1, hidden].
    """

    output: Array
    hidden: Array
    cell: Array


class Transducer:
    """Holds the two sessions and no other state, so that streams can share it."""

    def __init__(
        self,
        predictor: ort.InferenceSession,
        joint: ort.InferenceSession,
        settings: StreamingSettings,
    ) -> None:
        self._predictor = predictor
        self._joint = joint
        self._zeros = np.zeros(
            (settings.predictor.layers, 1, settings.predictor.hidden), dtype=np.float32
        )
        self.blank_id = settings.blank_id

    def start(self) -> Prediction:
        """The prediction before any token: the blank goes in, with states of zero."""
        return self._predict(self.blank_id, self._zeros, self._zeros)

    def advance(self, prediction: Prediction, token: int) -> Prediction:
        """The prediction after one more token."""
        return self._predict(token, prediction.hidden, prediction.cell)

    def logits(self, encoded: Array, prediction: Prediction) -> Array:
        """Joint logits, blank last: [T, vocabulary + 1] for frames [1, T, dim], all float32."""
        feeds = {"encoded": encoded, "prediction": prediction.output}
        logits: Array = self._joint.run(["logits"], feeds)[0][0]
        return logits

    def _predict(self, token: int, hidden: Array, cell: Array) -> Prediction:
        feeds = {"token": np.array([[token]], dtype=np.int64), "hidden": hidden, "cell": cell}
        names = ["prediction", "hidden_next", "cell_next"]
        return Prediction(*self._predictor.run(names, feeds))
