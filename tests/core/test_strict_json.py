import json
from pathlib import Path

import pytest

from quantkit.core.errors import InputError
from quantkit.core.strict_json import parse_json, read_json


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "a.json:1:1: is not JSON"),
        (b'{"a":\n 1,}', "a.json:2:4: is not JSON"),
        (b"\xff", "is not UTF-8 text"),
        (b"[NaN]", "found NaN, accepted: finite numbers"),
        (b"[-Infinity]", "found -Infinity"),
        (b"1e999", "found 1e999, accepted: finite numbers"),
        (b"9" * 5000, "a number of 5000 digits"),
        (b"[" * 100_000, "nests deeper than 64 levels|is not JSON"),
        (b"[" * 200 + b"]" * 200, "nests deeper than 64 levels"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "nests deeper than 64 levels"),
    ],
)
def test_what_is_no_json_of_ours_is_an_input_error(tmp_path: Path, text, message) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text)
    with pytest.raises(InputError, match=message):
        read_json(path)


def test_what_is_is_read(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None, "ü\u2028"], "b": {}}
    (tmp_path / "a.json").write_text(json.dumps(value), encoding="utf-8-sig")
    assert read_json(tmp_path / "a.json") == value
    assert parse_json("[" * 64 + "]" * 64, "here")
    with pytest.raises(InputError, match="more than 10 bytes"):
        read_json(tmp_path / "a.json", most_bytes=10)
    with pytest.raises(InputError, match="cannot be read"):
        read_json(tmp_path / "b.json")
