"""One streaming encoder, run step by step with its caches fed back without copies."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from quantkit.bench.ports import Port, read_ports
from quantkit.stream.encoder import rings
from quantkit.stream.stepping import SteppedSession

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
        self._chance = np.random.default_rng(_SEED)
        inputs = {port.name: _zeros(port) for port in self.ports.inputs}
        outputs = {port.name: _zeros(port) for port in self.ports.outputs}
        if self.ports.length is not None:
            inputs[self.ports.length].fill(self.ports.frames)
        states = self.ports.states
        self._steps = SteppedSession(session, inputs, outputs, states, rings(states))

    def run(self) -> float:
        """Run the next step of the stream; seconds."""
        features = self._steps.inputs[self.ports.features.name]
        features[:] = self._chance.normal(_MEAN, _DEVIATION, features.shape)
        began = time.perf_counter()
        self._steps.run()
        return time.perf_counter() - began

    def outputs(self) -> dict[str, NDArray[Any]]:
        """The last step's outputs by name; caches are where the next step reads them."""
        states = self._steps.states()
        following = {after: states[before] for before, after in self.ports.states.items()}
        return self._steps.outputs | following


def _zeros(port: Port) -> NDArray[Any]:
    return np.zeros(port.shape, dtype=port.type)
