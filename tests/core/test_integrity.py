from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.core import shapes
from quantkit.core.errors import InputError
from quantkit.core.integrity import file_facts, file_problem, read_kept, size_problem, write_kept

SHAPE = shapes.record({"step_ms": shapes.number()})


def test_files_are_compared_by_size_and_digest(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    facts = file_facts(path)
    assert facts["sha256"].startswith("ba7816bf8f01cfea")  # FIPS 180-2, appendix B.1
    assert file_problem(path, facts) is None
    path.write_bytes(b"abd")
    assert size_problem(path, facts) is None
    assert file_problem(path, facts) == (
        "found sha256 a52d159f262b, the manifest says ba7816bf8f01"
    )
    path.write_bytes(b"")
    assert size_problem(path, facts) == "found 0 bytes, the manifest says 3"
    path.unlink()
    path.mkdir()
    assert file_problem(path, facts) == "is missing"


def test_what_is_kept_is_found(tmp_path: Path) -> None:
    write_kept(tmp_path / "a.json", {"step_ms": 0.1})
    assert read_kept(tmp_path / "a.json", SHAPE) == {"step_ms": 0.1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not JSON"),
        ("[]", "found a list of 0"),
        ('{"step_ms": 0.1}', "has no digest of its own"),
        ('{"step_ms": NaN}', "found NaN"),
        ('{"digest": "0"}', "missing step_ms"),
    ],
)
def test_what_is_damaged_is_refused_by_name(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(InputError, match=rf"a\.json.*{message}.*; delete the file and run"):
        read_kept(path, SHAPE)


def test_every_flip_of_what_is_kept_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_kept(path, {"step_ms": 0.125, "names": ["encoder"]})
    right = path.read_bytes()
    for place in range(len(right)):
        path.write_bytes(right[:place] + bytes([right[place] ^ 1]) + right[place + 1 :])
        try:
            found = read_kept(path, SHAPE)
        except InputError:
            continue
        assert found == {"step_ms": 0.125, "names": ["encoder"]}  # white space
