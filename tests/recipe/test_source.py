from pathlib import Path

import pytest

from quantkit.recipe.source import DemoSource, FileSource, HubSource, parse_source


def test_the_three_forms() -> None:
    assert parse_source("demo") == DemoSource()
    assert parse_source("some/where.nemo") == FileSource(Path("some/where.nemo"))
    assert parse_source("hf://nvidia/model-0.6b@ab12") == HubSource("nvidia/model-0.6b", "ab12")
    assert parse_source("hf://a/b@feature/x") == HubSource("a/b", "feature/x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://a/b", "without a revision"),
        ("hf://a@b", "accepted: hf://ORGANISATION/NAME@REVISION"),
        ("hf:a/b@c", "accepted: hf://ORGANISATION/NAME@REVISION"),
        ("nvidia/model", "accepted: 'demo', the path of a .nemo file"),
    ],
)
def test_others_are_told_what_is_accepted(text, expected) -> None:
    with pytest.raises(ValueError, match=expected):
        parse_source(text)
