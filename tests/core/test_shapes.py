from __future__ import annotations

from typing import Any

import pytest

from quantkit.core import shapes
from quantkit.core.errors import InputError

RECORD = shapes.record(
    {"n": shapes.integer(1, 9), "x": shapes.optional(shapes.number())},
    {
        "names": shapes.array(shapes.text, 2),
        "files": shapes.mapping(shapes.file_name, shapes.sha256),
    },
)


@pytest.mark.parametrize(
    "value",
    [
        {"n": 1, "x": None},
        {"n": 9, "x": 0.5, "later": [{}]},
        {"n": 2, "x": 3, "names": [], "files": {"a.onnx.data": "0" * 64}},
    ],
)
def test_what_fits(value: Any) -> None:
    RECORD(value, "a.json")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "a.json: found a list of 0, accepted: an object"),
        ({}, "a.json: missing n, x"),
        ({"n": True, "x": 0}, "a.json: n: found True, accepted: an integer from 1 to 9"),
        ({"n": 1.0, "x": 0}, "a.json: n: found 1.0, accepted: an integer from 1 to 9"),
        ({"n": 10, "x": 0}, "a.json: n: found 10, accepted: an integer from 1 to 9"),
        ({"n": 1, "x": float("nan")}, "a.json: x: found nan, accepted: a number from 0 to 9.0072"),
        ({"n": 1, "x": "1"}, "a.json: x: found '1', accepted: a number"),
        ({"n": 1, "x": 10**300}, "accepted: a number"),
        ({"n": 1, "x": 0, "names": ["a", 1]}, "a.json: names[1]: found 1, accepted: a text"),
        (
            {"n": 1, "x": 0, "names": "ab"},
            "a.json: names: found 'ab', accepted: a list of at most 2",
        ),
        ({"n": 1, "x": 0, "names": ["", "", ""]}, "found a list of 3, accepted: a list of at most"),
        ({"n": 1, "x": 0, "files": {"a/b": ""}}, "a.json: files: found 'a/b', accepted: names"),
        ({"n": 1, "x": 0, "files": {"a\n": ""}}, "a.json: files: found 'a\\n', accepted: names"),
        ({"n": 1, "x": 0, "files": {".ssh": ""}}, "found '.ssh', accepted: names"),
        ({"n": 1, "x": 0, "files": {"a": "A" * 64}}, "a.json: files.a: found 'AAAA"),
    ],
)
def test_what_does_not(value: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        RECORD(value, "a.json")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300
