"""The model contract: an artifact's graphs, what each input and output is for, and when each runs.

It stands in streaming.json. Fusion, calibration, parity, bundles and runtime ask it for graphs and
ports by what they are for, so that no other file spells the name of a graph or of a cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class GraphKind(StrEnum):
    """What a graph computes."""

    ENCODER = "encoder"
    PREDICTION_NETWORK = "prediction network"
    JOINT = "joint"


class Role(StrEnum):
    """What an input or output is for; a state's output is the next run's input."""

    FEATURES = "features"
    LENGTH = "length"
    STATE = "state"
    ENCODED = "encoded"
    ENCODED_LENGTH = "encoded length"
    TOKEN = "token"  # noqa: S105 (of text)
    PREDICTION = "prediction"
    LOGITS = "logits"


class Runs(StrEnum):
    """How often a graph runs."""

    CHUNK = "chunk"
    TOKEN = "token"  # noqa: S105 (of text)
    DECISION = "decision"


FLOAT, INTEGER = "tensor(float)", "tensor(int64)"
#: Sizes that a graph leaves open.
BATCH, FRAMES = "batch", "frames"
#: What they are for one stream; None for any number.
_OPEN = {BATCH: 1, FRAMES: None}
#: What drives the graphs of every artifact so far.
CACHE_AWARE, RNN_T = "cache-aware", "rnn-t"
#: The graphs of every artifact so far, in the order of GraphKind.
GRAPH_NAMES = ("encoder", "predictor", "joint")
_NEXT = "_next"
_RINGS = ("key_cache", "value_cache")
_SHIFTED = "conv_cache"

Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class Port:
    """An input or output of a graph.

    Attributes:
        name: in the graph.
        role: what it is for.
        type: in ONNX Runtime's words.
        shape: sizes, or names of those that are open.
    """

    name: str
    role: Role
    type: str
    shape: Shape

    def fits(self, node: Any) -> bool:
        """Whether a session's input or output can be this port; a batch may be fixed at 1."""
        if node.type != self.type or len(node.shape) != len(self.shape):
            return False
        pairs = zip(node.shape, self.sizes, strict=True)
        return all(not isinstance(a, int) or b is None or a == b for a, b in pairs)

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """Of one stream; None where any size fits."""
        return tuple(_OPEN.get(size) if isinstance(size, str) else size for size in self.shape)


@dataclass(frozen=True)
class GraphContract:
    """One graph: its name, and its file as NAME.onnx, what it computes, and its ports."""

    name: str
    kind: GraphKind
    runs: Runs
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.name}.onnx"

    @property
    def states(self) -> dict[str, str]:
        """The output that follows each state, by its input."""
        return {port.name: next_name(port.name) for port in self.inputs if port.role is Role.STATE}

    def input(self, role: Role) -> str | None:
        """The name of the input with a role; None if the graph has none."""
        return _named(self.inputs, role)

    def output(self, role: Role) -> str | None:
        """The name of the output with a role; None if the graph has none."""
        return _named(self.outputs, role)


@dataclass(frozen=True)
class Contract:
    """The graphs of a model in the order in which they are used, and what drives them.

    Attributes:
        encoder: the kind of encoder: how audio is cut and what is carried along.
        decoder: the kind of decoder: how tokens follow from encoder frames.
        graphs: by kind, one of each.
    """

    encoder: str
    decoder: str
    graphs: tuple[GraphContract, ...]

    def graph(self, kind: GraphKind) -> GraphContract:
        """The graph of a kind."""
        return next(graph for graph in self.graphs if graph.kind is kind)

    def named(self, name: str) -> GraphContract:
        """The graph of a name."""
        return next(graph for graph in self.graphs if graph.name == name)

    def __iter__(self) -> Iterator[GraphContract]:
        return iter(self.graphs)

    def as_json(self) -> dict[str, Any]:
        """As it stands in streaming.json."""
        return {
            "encoder": self.encoder,
            "decoder": self.decoder,
            "graphs": {
                graph.name: {
                    "kind": str(graph.kind),
                    "runs": str(graph.runs),
                    "inputs": [_port(port, graph.states) for port in graph.inputs],
                    "outputs": [_port(port, {}) for port in graph.outputs],
                }
                for graph in self.graphs
            },
        }


def transducer(
    *,
    window_frames: int,
    mels: int,
    chunk_frames: int,
    rows: int,
    dim: int,
    layers: int,
    heads: int,
    conv_cache: int,
    lstm_layers: int,
    hidden: int,
    logits: int,
) -> Contract:
    """The contract of a cache-aware encoder with an RNN-T decoder.

    Args:
        window_frames: mel frames that a step sees.
        mels: of a frame.
        chunk_frames: encoder frames that a step yields.
        rows: of the rings of keys and values.
        dim: of the encoder.
        layers: of the encoder.
        heads: of its attention.
        conv_cache: frames in the cache of a convolution.
        lstm_layers: of the prediction network.
        hidden: size of its states.
        logits: of the joint, blank included.
    """
    ring: Shape = (BATCH, heads, rows, dim // heads)
    caches = {"cache_length": (INTEGER, (BATCH,))} | {
        f"{kind}_{layer}": (FLOAT, (BATCH, conv_cache, dim) if kind == _SHIFTED else ring)
        for layer in range(layers)
        for kind in (*_RINGS, _SHIFTED)
    }
    state: Shape = (lstm_layers, BATCH, hidden)
    prediction = Port("prediction", Role.PREDICTION, FLOAT, (BATCH, 1, hidden))
    states = {"hidden": (FLOAT, state), "cell": (FLOAT, state)}
    names = iter(GRAPH_NAMES)
    encoder = GraphContract(
        next(names),
        GraphKind.ENCODER,
        Runs.CHUNK,
        (
            Port("features", Role.FEATURES, FLOAT, (BATCH, window_frames, mels)),
            Port("length", Role.LENGTH, INTEGER, (BATCH,)),
            *_states(caches),
        ),
        (
            Port("encoded", Role.ENCODED, FLOAT, (BATCH, chunk_frames, dim)),
            Port("encoded_length", Role.ENCODED_LENGTH, INTEGER, (BATCH,)),
            *_states(caches, after=True),
        ),
    )
    predictor = GraphContract(
        next(names),
        GraphKind.PREDICTION_NETWORK,
        Runs.TOKEN,
        (Port("token", Role.TOKEN, INTEGER, (BATCH, 1)), *_states(states)),
        (prediction, *_states(states, after=True)),
    )
    joint = GraphContract(
        next(names),
        GraphKind.JOINT,
        Runs.DECISION,
        (Port("encoded", Role.ENCODED, FLOAT, (BATCH, FRAMES, dim)), prediction),
        (Port("logits", Role.LOGITS, FLOAT, (BATCH, FRAMES, logits)),),
    )
    return Contract(CACHE_AWARE, RNN_T, (encoder, predictor, joint))


def next_name(state: str) -> str:
    """The output that follows a state's input."""
    return f"{state}{_NEXT}"


def paired_states(inputs: Iterable[str], outputs: Iterable[str]) -> dict[str, str]:
    """The states of a graph of which only the names of its ports are known."""
    produced = set(outputs)
    return {name: next_name(name) for name in inputs if next_name(name) in produced}


def rings(states: Iterable[str]) -> list[str]:
    """Those of the states in which a step overwrites the oldest rows where they lie."""
    return [name for name in states if name.startswith(tuple(f"{kind}_" for kind in _RINGS))]


def _states(ports: Mapping[str, tuple[str, Shape]], *, after: bool = False) -> Iterator[Port]:
    for name, (kind, shape) in ports.items():
        yield Port(next_name(name) if after else name, Role.STATE, kind, shape)


def _named(ports: Iterable[Port], role: Role) -> str | None:
    return next((port.name for port in ports if port.role is role), None)


def _port(port: Port, states: Mapping[str, str]) -> dict[str, Any]:
    kind = {FLOAT: "float32", INTEGER: "int64"}[port.type]
    told = {"name": port.name, "role": str(port.role), "type": kind, "shape": list(port.shape)}
    return told | ({"next": states[port.name]} if port.name in states else {})
