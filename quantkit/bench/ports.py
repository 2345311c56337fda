"""Find out from a streaming encoder's inputs and outputs how to run it chunk after chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantkit.core.errors import InputError

TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
#: Numbers of mel bands in use; the other axis of the features is time.
MEL_BANDS = (64, 80, 128)
#: Mel frames of 10 ms per encoder frame, for graphs that do not say how long a chunk is.
ENCODER_FRAME_S = 0.08


@dataclass(frozen=True)
class Port:
    """An input or output: element type and sizes, symbolic leading sizes taken as 1."""

    name: str
    type: type[np.generic]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Ports:
    """The parts that a streaming encoder's inputs and outputs play."""

    features: Port
    length: str | None
    """The input that counts valid frames."""
    states: dict[str, str]
    """Cache inputs, with the output that follows each."""
    inputs: list[Port]
    outputs: list[Port]
    rings: Sequence[str] = ()
    """Those of the caches that a step may write where it read them."""

    @property
    def frames(self) -> int:
        """Mel frames that one step sees."""
        rows, columns = self.features.shape[1:]
        return columns if rows in MEL_BANDS and columns not in MEL_BANDS else rows

    @property
    def chunk_s(self) -> float:
        """Seconds of audio that one step moves on: its encoder frames, the output's short axis."""
        return min(self.outputs[0].shape[1:]) * ENCODER_FRAME_S


def read_ports(
    inputs: Sequence[Any], outputs: Sequence[Any], what: str, rings: Sequence[str] = ()
) -> Ports:
    """Tell features, length and caches apart.

    A cache input is one whose name with `_next` is an output or, among those left, the n-th input
    after the first two that is like the n-th such output in type and shape.

    Args:
        inputs: an ONNX Runtime session's, or anything with `name`, `type` and `shape`.
        outputs: likewise, encoded frames first.
        what: what messages call the graph.
        rings: caches that may be written where they are read.

    Raises:
        InputError: a size is open, an element type unknown, or there is no input of three axes.
    """
    ins, outs = ([_port(node, what) for node in nodes] for nodes in (inputs, outputs))
    produced = {port.name for port in outs}
    states = {p.name: f"{p.name}_next" for p in ins if f"{p.name}_next" in produced}
    taken = {*states, *states.values()}
    rest_in = [port for port in ins[2:] if port.name not in taken]
    rest_out = [port for port in outs[2:] if port.name not in taken]
    for before in rest_in:
        alike = (p for p in rest_out if (p.type, p.shape) == (before.type, before.shape))
        after = next(alike, None)
        if after is not None:
            states[before.name] = after.name
            rest_out.remove(after)
    free = [port for port in ins if port.name not in states]
    features = [port for port in free if len(port.shape) == 3]
    lengths = [port.name for port in free if issubclass(port.type, np.integer)]
    if not features or len(outs[0].shape) != 3:
        raise InputError(
            f"{what}: has no features of three axes or no such output first; found inputs "
            f"{[p.name for p in ins]}, outputs {[p.name for p in outs]}. A streaming encoder is "
            "needed."
        )
    return Ports(features[0], lengths[0] if lengths else None, states, ins, outs, rings)


def _port(node: Any, what: str) -> Port:
    if node.type not in TYPES:
        raise InputError(f"{what}: {node.name!r} is {node.type}; accepted: {', '.join(TYPES)}")
    sizes = [1 if axis == 0 and not isinstance(n, int) else n for axis, n in enumerate(node.shape)]
    if not all(isinstance(size, int) for size in sizes):
        raise InputError(
            f"{what}: {node.name!r} has the sizes {list(node.shape)}; only the first may be open. "
            "Fix the others when exporting."
        )
    return Port(node.name, TYPES[node.type], tuple(sizes))
