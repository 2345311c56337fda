import pytest

from quantkit.core.names import kind_and_layer, may_name_a_file


@pytest.mark.parametrize(
    ("name", "kind", "layer"),
    [
        ("encoder/layers.3.conv.weight", "encoder/layers.*.conv.weight", 3),
        ("encoder/layers.12.ff.weight", "encoder/layers.*.ff.weight", 12),
        ("encoder/stem.out.weight", "encoder/stem.out.weight", None),
        ("joint/output.1.weight", "joint/output.1.weight", None),
        ("encoder/players.1.weight", "encoder/players.1.weight", None),
    ],
)
def test_a_layer_is_told_apart_from_what_is_there_once(name, kind, layer) -> None:
    assert kind_and_layer(name) == (kind, layer)


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("a/b.flac", True),
        ("b\udcff.flac", True),
        ("\ud800", False),
        ("a\0b", False),
        ("ä" * 128, False),
        ("a/" * 2048, False),
    ],
)
def test_what_may_name_a_file(name, may) -> None:
    assert may_name_a_file(name) == may
