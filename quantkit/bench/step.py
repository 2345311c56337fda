"""One streaming encoder, run step by step with its caches fed back without copies."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from quantkit.bench.ports import Port, Ports, read_ports
from quantkit.runtime.encoders.stepping import SteppedSession
from quantkit.runtime.settings import SETTINGS_FILE, StreamingSettings

_SEED = 20261123
_MEAN, _DEVIATION = -8.0, 4.0


class TimedStep:
    """Runs any streaming encoder on noise and tells how long each step took.

    Every candidate is run in the same, cheapest way: inputs and outputs are bound once, and two
    sets of cache buffers take turns as input and output.
    """

    def __init__(self, session: ort.InferenceSession, graph: Path) -> None:
        """`graph` is the file that the session was made of."""
        self.ports = read_ports(
            session.get_inputs(), session.get_outputs(), str(graph), _rings(graph)
        )
        self._chance = np.random.default_rng(_SEED)
        self._steps = stepped(session, self.ports)

    def run(self) -> float:
        """Run the next step of the stream; seconds."""
        features = self._steps.inputs[self.ports.features.name]
        features[:] = noise(self._chance, features.shape)
        began = time.perf_counter()
        self._steps.run()
        return time.perf_counter() - began

    def outputs(self) -> dict[str, NDArray[Any]]:
        """The last step's outputs by name; caches are where the next step reads them."""
        states = self._steps.states()
        following = {after: states[before] for before, after in self.ports.states.items()}
        return self._steps.outputs | following


def stepped(session: ort.InferenceSession, ports: Ports) -> SteppedSession:
    """A stream through a streaming encoder whose every chunk is full."""
    inputs = {port.name: _zeros(port) for port in ports.inputs}
    outputs = {port.name: _zeros(port) for port in ports.outputs}
    if ports.length is not None:
        inputs[ports.length].fill(ports.frames)
    return SteppedSession(session, inputs, outputs, ports.states, ports.rings)


def noise(chance: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Noise that has about the size of log-mel of speech."""
    return chance.normal(_MEAN, _DEVIATION, shape).astype(np.float32)


def _rings(graph: Path) -> list[str]:
    """What the contract beside an encoder says; another exporter's encoder has none."""
    if not (graph.parent / SETTINGS_FILE).is_file():
        return []
    encoder = StreamingSettings.load(graph.parent).contract.encoder
    return encoder.inputs_of("ring") if encoder.file == graph.name else []


def _zeros(port: Port) -> NDArray[Any]:
    return np.zeros(port.shape, dtype=port.type)
