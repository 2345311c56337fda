"""One streaming encoder, run step by step with its caches fed back without copies."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from quantkit.bench.ports import Port, read_ports

_SEED = 20261123
# About the size of log-mel of speech.
_MEAN, _DEVIATION = -8.0, 4.0


class TimedStep:
    """Runs any streaming encoder on noise and tells how long each step took.

    Every candidate is run in the same, cheapest way: inputs and outputs are bound once, and two
    sets of cache buffers take turns as input and output.
    """

    def __init__(self, session: ort.InferenceSession, what: str) -> None:
        self.ports = read_ports(session.get_inputs(), session.get_outputs(), what)
        self._session = session
        self._chance = np.random.default_rng(_SEED)
        self._inputs = {port.name: _zeros(port) for port in self.ports.inputs}
        self._outputs = {port.name: _zeros(port) for port in self.ports.outputs}
        if self.ports.length is not None:
            self._inputs[self.ports.length].fill(self.ports.frames)
        self._bindings = (self._bind(swapped=False), self._bind(swapped=True))
        self._turn = 0

    def run(self) -> float:
        """Run the next step of the stream; seconds."""
        features = self._inputs[self.ports.features.name]
        features[:] = self._chance.normal(_MEAN, _DEVIATION, features.shape)
        binding = self._bindings[self._turn]
        began = time.perf_counter()
        self._session.run_with_iobinding(binding)
        seconds = time.perf_counter() - began
        self._turn = 1 - self._turn
        return seconds

    def outputs(self) -> dict[str, NDArray[Any]]:
        """The last step's outputs by name; caches are where the next step reads them."""
        found = dict(self._outputs)
        if self._turn == 0:
            found |= {after: self._inputs[before] for before, after in self.ports.states.items()}
        return found

    def _bind(self, *, swapped: bool) -> ort.IOBinding:
        inputs, outputs = dict(self._inputs), dict(self._outputs)
        if swapped:
            for before, after in self.ports.states.items():
                inputs[before], outputs[after] = outputs[after], inputs[before]
        binding = self._session.io_binding()
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
        for name, array in outputs.items():
            binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))
        return binding


def _zeros(port: Port) -> NDArray[Any]:
    return np.zeros(port.shape, dtype=port.type)
