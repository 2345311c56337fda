"""The encoder, one chunk at a time, with its caches fed back without copying them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from quantkit.runtime.encoders.chunks import Chunk
from quantkit.runtime.encoders.stepping import SteppedSession
from quantkit.runtime.running import RUN_ERRORS, cannot_run

Array = NDArray[np.float32]

_NUMPY_TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


class EncoderStep:
    """Runs an encoder session over consecutive chunks of one stream.

    Shapes are read from the graph, with sizes that it leaves open taken as 1. Any number of steps
    may share a session.
    """

    def __init__(self, session: ort.InferenceSession) -> None:
        inputs = {node.name: zeros(node) for node in session.get_inputs()}
        outputs = {node.name: zeros(node) for node in session.get_outputs()}
        caches = {name: f"{name}_next" for name in inputs if f"{name}_next" in outputs}
        self._steps = SteppedSession(session, inputs, outputs, caches, rings(caches))

    def reset(self) -> None:
        """Start a new stream: empty caches."""
        self._steps.reset()

    def step(self, chunk: Chunk) -> Array:
        """Encode the next chunk: its valid frames, float32 [1, T, dim], newly allocated.

        Raises:
            InputError: ONNX Runtime cannot run the graph.
        """
        np.copyto(self._steps.inputs["features"], chunk.features)
        self._steps.inputs["length"][0] = chunk.length
        try:
            self._steps.run()
        except RUN_ERRORS as error:
            raise cannot_run("encoder.onnx", error) from error
        valid = int(self._steps.outputs["encoded_length"][0])
        encoded: Array = self._steps.outputs["encoded"][:, :valid].copy()
        return encoded

    def caches(self) -> dict[str, NDArray[Any]]:
        """Copies of the caches that the next step will read, by input name."""
        return {name: array.copy() for name, array in self._steps.states().items()}


def rings(caches: Iterable[str]) -> list[str]:
    """Those of the caches in which a step overwrites the oldest rows where they lie."""
    return [name for name in caches if name.startswith(("key_cache_", "value_cache_"))]


def zeros(node: ort.NodeArg, batch: int = 1) -> NDArray[Any]:
    """Zeros of a graph input's or output's type and shape, the size that is open being `batch`."""
    shape = [size if isinstance(size, int) else batch for size in node.shape]
    return np.zeros(shape, dtype=_NUMPY_TYPES[node.type])
