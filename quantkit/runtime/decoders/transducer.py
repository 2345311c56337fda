"""The prediction and joint networks of a transducer as two plain functions on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from quantkit.runtime.sessions import RUN_ERRORS, cannot_run
from quantkit.runtime.settings import StreamingSettings

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Prediction:
    """The prediction network after some tokens of one stream.

    `output` float32 [1, 1, hidden]; `hidden` and `cell` float32 [layers, 1, hidden].
    """

    output: Array
    hidden: Array
    cell: Array


class Transducer:
    """Holds the two sessions and no other state, so that streams can share it.

    Each of N streams has a prediction of its own; one call serves all N. What ONNX Runtime cannot
    run is an InputError.
    """

    def __init__(
        self,
        predictor: ort.InferenceSession,
        joint: ort.InferenceSession,
        settings: StreamingSettings,
    ) -> None:
        self._predictor = predictor
        self._joint = joint
        network, joint_graph = settings.contract.predictor, settings.contract.joint
        self._files = network.file, joint_graph.file
        self._inputs = [network.input("token"), *network.states]
        self._outputs = [network.output("prediction"), *network.states.values()]
        self._joint_inputs = joint_graph.input("encoded"), joint_graph.input("prediction")
        self._logits = [joint_graph.output("logits")]
        self._zeros = np.zeros(
            (settings.predictor.layers, 1, settings.predictor.hidden), dtype=np.float32
        )
        self.blank_id = settings.blank_id

    def start(self) -> Prediction:
        """The prediction before any token: the blank goes in, with states of zero."""
        return self._predict([self.blank_id], self._zeros, self._zeros)[0]

    def advance(self, predictions: Sequence[Prediction], tokens: Sequence[int]) -> list[Prediction]:
        """The predictions after one more token each."""
        hidden = np.concatenate([prediction.hidden for prediction in predictions], axis=1)
        cell = np.concatenate([prediction.cell for prediction in predictions], axis=1)
        return self._predict(tokens, hidden, cell)

    def logits(self, encoded: Array, predictions: Sequence[Prediction]) -> Array:
        """Joint logits, blank last: [N, T, vocabulary + 1] for frames [N, T, dim], all float32."""
        outputs = np.concatenate([prediction.output for prediction in predictions])
        feeds = dict(zip(self._joint_inputs, (encoded, outputs), strict=True))
        try:
            logits: Array = self._joint.run(self._logits, feeds)[0]
        except RUN_ERRORS as error:
            raise cannot_run(self._files[1], error) from error
        return logits

    def _predict(self, tokens: Sequence[int], hidden: Array, cell: Array) -> list[Prediction]:
        token = np.array(tokens, dtype=np.int64)[:, None]
        feeds = dict(zip(self._inputs, (token, hidden, cell), strict=True))
        try:
            output, hidden, cell = self._predictor.run(self._outputs, feeds)
        except RUN_ERRORS as error:
            raise cannot_run(self._files[0], error) from error
        return [
            Prediction(output[i : i + 1], hidden[:, i : i + 1], cell[:, i : i + 1])
            for i in range(len(tokens))
        ]
