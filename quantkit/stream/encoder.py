"""The encoder, one chunk at a time, with its caches fed back without copying them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from quantkit.stream.chunks import Chunk

Array = NDArray[np.float32]

_NUMPY_TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


class EncoderStep:
    """Runs an encoder session over consecutive chunks of one stream.

    The session writes the next caches into buffers of its own, which are the inputs of the next
    step; two sets of buffers take turns. Shapes are read from the graph, with sizes that it leaves
    open taken as 1. Any number of steps may share a session.
    """

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._inputs = {node.name: _zeros(node) for node in session.get_inputs()}
        self._outputs = {node.name: _zeros(node) for node in session.get_outputs()}
        self._caches = {
            name: f"{name}_next" for name in self._inputs if f"{name}_next" in self._outputs
        }
        self._bindings = (self._bind(swapped=False), self._bind(swapped=True))
        self._turn = 0

    def reset(self) -> None:
        """Start a new stream: empty caches."""
        for name in self._caches:
            self._inputs[name].fill(0)
        self._turn = 0

    def step(self, chunk: Chunk) -> Array:
        """Encode the next chunk: its valid frames, float32 [1, T, dim], newly allocated."""
        np.copyto(self._inputs["features"], chunk.features)
        self._inputs["length"][0] = chunk.length
        self._session.run_with_iobinding(self._bindings[self._turn])
        self._turn = 1 - self._turn
        valid = int(self._outputs["encoded_length"][0])
        encoded: Array = self._outputs["encoded"][:, :valid].copy()
        return encoded

    def caches(self) -> dict[str, NDArray[Any]]:
        """Copies of the caches that the next step will read, by input name."""
        current = self._outputs if self._turn else self._inputs
        return {
            name: current[following if self._turn else name].copy()
            for name, following in self._caches.items()
        }

    def _bind(self, *, swapped: bool) -> ort.IOBinding:
        inputs, outputs = dict(self._inputs), dict(self._outputs)
        if swapped:
            for name, following in self._caches.items():
                inputs[name], outputs[following] = outputs[following], inputs[name]
        binding = self._session.io_binding()
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
        for name, array in outputs.items():
            binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))
        return binding


def _zeros(node: ort.NodeArg) -> NDArray[Any]:
    shape = [size if isinstance(size, int) else 1 for size in node.shape]
    return np.zeros(shape, dtype=_NUMPY_TYPES[node.type])
