from __future__ import annotations

from dataclasses import dataclass

import pytest

from quantkit.bench.ports import read_ports
from quantkit.core.errors import InputError


@dataclass
class Node:
    name: str
    type: str
    shape: list[int | str]


def floats(name: str, *shape: int | str) -> Node:
    return Node(name, "tensor(float)", list(shape))


def integers(name: str, *shape: int | str) -> Node:
    return Node(name, "tensor(int64)", list(shape))


FEATURES, LENGTH = floats("audio_signal", "B", 65, 128), integers("length", "B")
ENCODED, ENCODED_LENGTH = floats("outputs", 1, 7, 1024), integers("encoded_lengths", 1)


def test_caches_are_known_by_name_in_any_order() -> None:
    ports = read_ports(
        [floats("cache_b", 1, 4), FEATURES, LENGTH, integers("cache_len", 1), floats("cache_a", 9)],
        [
            ENCODED,
            ENCODED_LENGTH,
            floats("cache_a_next", 9),
            floats("cache_b_next", 1, 4),
            integers("cache_len_next", 1),
        ],
        "graph",
    )
    assert ports.features.name == "audio_signal"
    assert ports.features.shape == (1, 65, 128)
    assert ports.length == "length"
    assert ports.states == {f"cache_{x}": f"cache_{x}_next" for x in ("a", "b", "len")}


def test_caches_without_telling_names_are_known_by_order_type_and_shape() -> None:
    ports = read_ports(
        [FEATURES, LENGTH, floats("c1", 2, 3), floats("c2", 2, 3), integers("n", 1)],
        [ENCODED, ENCODED_LENGTH, integers("new_n", 1), floats("x", 2, 3), floats("y", 2, 3)],
        "graph",
    )
    assert ports.states == {"c1": "x", "c2": "y", "n": "new_n"}
    assert ports.length == "length"


def test_a_graph_without_caches_or_length_is_fine() -> None:
    ports = read_ports([FEATURES], [ENCODED], "graph")
    assert ports.states == {}
    assert ports.length is None


@pytest.mark.parametrize(
    ("shape", "frames"),
    [((1, 65, 128), 65), ((1, 128, 65), 65), ((1, 121, 80), 121), ((1, 128, 128), 128)],
)
def test_the_axis_of_time_is_the_one_that_is_not_mels(shape: tuple[int, ...], frames: int) -> None:
    assert read_ports([floats("features", *shape)], [ENCODED], "graph").frames == frames


@pytest.mark.parametrize(("shape", "chunk_s"), [((1, 7, 1024), 0.56), ((1, 512, 1), 0.08)])
def test_a_chunk_is_as_long_as_its_encoder_frames(shape: tuple[int, ...], chunk_s: float) -> None:
    ports = read_ports([FEATURES], [floats("encoded", *shape)], "graph")
    assert ports.chunk_s == pytest.approx(chunk_s)


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ([floats("features", 1, "T", 80)], [ENCODED], "only the first may be open"),
        ([Node("features", "tensor(string)", [1])], [ENCODED], "is tensor\\(string\\)"),
        ([LENGTH], [ENCODED], "no features of three axes"),
        ([FEATURES], [ENCODED_LENGTH], "no features of three axes"),
    ],
)
def test_other_graphs_are_refused(inputs: list[Node], outputs: list[Node], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_ports(inputs, outputs, "some.onnx")
    assert "some.onnx" in str(caught.value)
