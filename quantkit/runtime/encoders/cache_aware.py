"""The encoder, one chunk at a time, with its caches fed back without copying them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from quantkit.runtime.contract import Role
from quantkit.runtime.encoders.chunks import Chunk
from quantkit.runtime.encoders.stepping import SteppedSession
from quantkit.runtime.sessions import RUN_ERRORS, cannot_run
from quantkit.runtime.settings import StreamingSettings

Array = NDArray[np.float32]

#: What a step is given, and what is taken from it, besides its caches.
_GIVEN: tuple[Role, Role] = ("features", "length")
_TAKEN: tuple[Role, Role] = ("encoded", "encoded_length")
_NUMPY_TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


class EncoderStep:
    """Runs an encoder session over consecutive chunks of one stream.

    Shapes are read from the graph, with sizes that it leaves open taken as 1. Any number of steps
    may share a session.
    """

    def __init__(self, session: ort.InferenceSession, settings: StreamingSettings) -> None:
        inputs = {node.name: zeros(node) for node in session.get_inputs()}
        outputs = {node.name: zeros(node) for node in session.get_outputs()}
        graph = settings.contract.encoder
        self._steps = SteppedSession(
            session, inputs, outputs, graph.states, graph.inputs_of("ring")
        )
        self._file = graph.file
        self._features, self._length = (inputs[graph.input(role)] for role in _GIVEN)
        self._encoded, self._valid = (outputs[graph.output(role)] for role in _TAKEN)

    def reset(self) -> None:
        """Start a new stream: empty caches."""
        self._steps.reset()

    def step(self, chunk: Chunk) -> Array:
        """Encode the next chunk: its valid frames, float32 [1, T, dim], newly allocated.

        Raises:
            InputError: ONNX Runtime cannot run the graph.
        """
        np.copyto(self._features, chunk.features)
        self._length[0] = chunk.length
        try:
            self._steps.run()
        except RUN_ERRORS as error:
            raise cannot_run(self._file, error) from error
        encoded: Array = self._encoded[:, : int(self._valid[0])].copy()
        return encoded

    def caches(self) -> dict[str, NDArray[Any]]:
        """Copies of the caches that the next step will read, by input name."""
        return {name: array.copy() for name, array in self._steps.states().items()}


def zeros(node: ort.NodeArg, batch: int = 1) -> NDArray[Any]:
    """Zeros of a graph input's or output's type and shape, the size that is open being `batch`."""
    shape = [size if isinstance(size, int) else batch for size in node.shape]
    return np.zeros(shape, dtype=_NUMPY_TYPES[node.type])
