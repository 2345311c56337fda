"""The model contract: an artifact's graphs, and what each of their inputs and outputs is for.

It stands in streaming.json. Names of files, inputs and outputs are free; roles, types and shapes
are those that the kinds of encoder and decoder have at the artifact's sizes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from quantkit.core import shapes
from quantkit.core.errors import InputError
from quantkit.runtime.sizes import Sizes

Role = Literal[
    "features",  # mel frames of a window
    "length",  # how many of them are valid
    "cache_length",  # encoder frames in the caches
    "ring",  # a cache whose oldest rows a step overwrites where they lie
    "state",  # any other state that a run hands to the next
    "encoded",
    "encoded_length",
    "token",
    "prediction",
    "logits",
]
Type = Literal["float32", "int64"]
#: How often a graph runs: for a chunk of audio, a token, or a choice between token and blank.
Run = Literal["chunk", "token", "decision"]
#: A size, or the name of one that is open.
Size = int | str

BATCH, FRAMES = "batch", "frames"
CACHE_AWARE, RNNT = "cache-aware", "rnnt"
_SUFFIX = ".onnx"


@dataclass(frozen=True)
class Port:
    """An input or output of a graph; `next` is the output that a state's input follows."""

    name: str
    role: Role
    type: Type
    shape: tuple[Size, ...]
    next: str | None = None


@dataclass(frozen=True)
class Graph:
    """One ONNX file; `runs` says for what it is run once."""

    file: str
    runs: Run
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @property
    def name(self) -> str:
        """What manifests, reports and names of tensors call the graph."""
        return self.file.removesuffix(_SUFFIX)

    @cached_property
    def states(self) -> dict[str, str]:
        """Inputs that are fed back, with the output that follows each."""
        return {port.name: port.next for port in self.inputs if port.next is not None}

    def inputs_of(self, role: Role) -> list[str]:
        """The names of all inputs of a role."""
        return [port.name for port in self.inputs if port.role == role]

    def input(self, role: Role) -> str:
        """The name of the first input of a role."""
        return self.inputs_of(role)[0]

    def output(self, role: Role) -> str:
        """The name of the first output of a role."""
        return next(port.name for port in self.outputs if port.role == role)


@dataclass(frozen=True)
class Contract:
    """Which kinds of encoder and decoder drive which graphs, in the order in which they run."""

    encoder_kind: str
    decoder_kind: str
    graphs: tuple[Graph, ...]

    @property
    def encoder(self) -> Graph:
        """The graph that encodes a chunk."""
        return self._making("encoded")

    @property
    def predictor(self) -> Graph:
        """The prediction network."""
        return self._making("prediction")

    @property
    def joint(self) -> Graph:
        """The joint."""
        return self._making("logits")

    @property
    def names(self) -> tuple[str, ...]:
        """The graphs by name."""
        return tuple(graph.name for graph in self.graphs)

    def _making(self, role: Role) -> Graph:
        return next(g for g in self.graphs if any(port.role == role for port in g.outputs))


def transducer_contract(sizes: Sizes) -> Contract:
    """The contract of a cache-aware transducer; artifacts that write down none have this one."""
    dim, hidden = sizes.encoder.dim, sizes.predictor.hidden
    rows = sizes.left_context + sizes.chunk_encoder_frames
    ring = (BATCH, sizes.encoder.heads, rows, dim // sizes.encoder.heads)
    caches = [_state("cache_length", BATCH, role="cache_length", kind="int64")]
    for layer in range(sizes.encoder.layers):
        caches += [_state(f"{kind}_cache_{layer}", *ring, role="ring") for kind in ("key", "value")]
        caches.append(_state(f"conv_cache_{layer}", BATCH, sizes.encoder.conv_cache, dim))
    window = (BATCH, sizes.window_frames, sizes.mel.n_mels)
    encoder = _graph(
        "encoder",
        "chunk",
        [_port("features", *window), _port("length", BATCH, kind="int64"), *caches],
        [
            _port("encoded", BATCH, sizes.chunk_encoder_frames, dim),
            _port("encoded_length", BATCH, kind="int64"),
        ],
    )
    states = [_state(name, sizes.predictor.layers, BATCH, hidden) for name in ("hidden", "cell")]
    prediction = _port("prediction", BATCH, 1, hidden)
    predictor = _graph(
        "predictor", "token", [_port("token", BATCH, 1, kind="int64"), *states], [prediction]
    )
    joint = _graph(
        "joint",
        "decision",
        [_port("encoded", BATCH, FRAMES, dim), prediction],
        [_port("logits", BATCH, FRAMES, sizes.vocabulary_size + 1)],
    )
    return Contract(CACHE_AWARE, RNNT, (encoder, predictor, joint))


def read_contract(content: Any, sizes: Sizes, where: str) -> Contract:
    """The contract in parsed JSON; `where` is what messages call it.

    Raises:
        InputError: it is no contract, is of another kind, contradicts the sizes, gives a name
            twice, or pairs a state with no output of its own.
    """
    _CONTRACT(content, where)
    graphs = tuple(
        Graph(graph["file"], graph["runs"], _ports(graph["inputs"]), _ports(graph["outputs"]))
        for graph in content["graphs"]
    )
    contract = Contract(content["encoder_kind"], content["decoder_kind"], graphs)
    expected = transducer_contract(sizes)
    if len(graphs) != len(expected.graphs):
        raise shapes.unfit(len(graphs), f"{where}.graphs", f"{len(expected.graphs)} graphs")
    _once((graph.file for graph in graphs), f"{where}.graphs")
    for index, (graph, fits) in enumerate(zip(graphs, expected.graphs, strict=True)):
        _compare(graph, fits, f"{where}.graphs[{index}]")
    return contract


def _compare(graph: Graph, expected: Graph, where: str) -> None:
    """Refuse a graph that is not, but for its names, the one that the sizes give."""
    if not graph.file.endswith(_SUFFIX) or not graph.name:
        raise shapes.unfit(graph.file, f"{where}.file", f"a name that ends in {_SUFFIX}")
    if graph.runs != expected.runs:
        raise shapes.unfit(graph.runs, f"{where}.runs", repr(expected.runs))
    sides = {
        "inputs": (graph.inputs, expected.inputs),
        "outputs": (graph.outputs, expected.outputs),
    }
    for side, (ports, fits) in sides.items():
        if len(ports) != len(fits):
            raise shapes.unfit(len(ports), f"{where}.{side}", f"{len(fits)} by the sizes")
        _once((port.name for port in ports), f"{where}.{side}")
        for index, (port, fit) in enumerate(zip(ports, fits, strict=True)):
            if _kind(port) != _kind(fit):
                raise shapes.unfit(_kind(port), f"{where}.{side}[{index}]", str(_kind(fit)))
    _once(graph.states.values(), f"{where}.inputs, next")
    following = {port.name: port for port in graph.outputs}
    for index, port in enumerate(graph.inputs):
        if port.next is not None and (
            port.next not in following or _plain(following[port.next]) != _plain(port)
        ):
            accepted = f"an output that is {_plain(port)}"
            raise shapes.unfit(port.next, f"{where}.inputs[{index}].next", accepted)


def _plain(port: Port) -> tuple[Any, ...]:
    return port.role, port.type, list(port.shape)


def _kind(port: Port) -> tuple[Any, ...]:
    return (*_plain(port), "no state" if port.next is None else "a state")


def _once(names: Iterable[str], where: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{where}: found {twice[0]!r} twice, accepted: each name once")


def _ports(content: list[dict[str, Any]]) -> tuple[Port, ...]:
    return tuple(
        Port(p["name"], p["role"], p["type"], tuple(p["shape"]), p.get("next")) for p in content
    )


def _port(role: Role, *shape: Size, kind: Type = "float32") -> Port:
    """A port that is called as its role."""
    return Port(role, role, kind, shape)


def _state(name: str, *shape: Size, role: Role = "state", kind: Type = "float32") -> Port:
    return Port(name, role, kind, shape, f"{name}_next")


def _graph(name: str, runs: Run, inputs: list[Port], outputs: list[Port]) -> Graph:
    """A graph whose states' outputs follow its other outputs, in the order of their inputs."""
    following = [Port(p.next, p.role, p.type, p.shape) for p in inputs if p.next is not None]
    return Graph(f"{name}{_SUFFIX}", runs, tuple(inputs), (*outputs, *following))


def _one_of(*accepted: str) -> shapes.Shape:
    def check(value: Any, where: str) -> None:
        if value not in accepted:
            raise shapes.unfit(value, where, ", ".join(accepted))

    return check


def _size(value: Any, where: str) -> None:
    if value not in (BATCH, FRAMES):
        shapes.integer(0)(value, where)


_PORT = shapes.record(
    {
        "name": shapes.text,
        "role": _one_of(*get_args(Role)),
        "type": _one_of(*get_args(Type)),
        "shape": shapes.array(_size, most=8),
    },
    {"next": shapes.text},
)
_GRAPH = shapes.record(
    {
        "file": shapes.file_name,
        "runs": _one_of(*get_args(Run)),
        "inputs": shapes.array(_PORT, most=10_000),
        "outputs": shapes.array(_PORT, most=10_000),
    }
)
_CONTRACT = shapes.record(
    {
        "encoder_kind": _one_of(CACHE_AWARE),
        "decoder_kind": _one_of(RNNT),
        "graphs": shapes.array(_GRAPH, most=16),
    }
)
