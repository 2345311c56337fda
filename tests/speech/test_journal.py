"""What a killed process leaves of a journal."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.core import shapes
from quantkit.core.errors import InputError
from quantkit.speech.journal import Journal

ENTRIES: list[dict[str, Any]] = [
    {"id": "a", "text": "one\ntwo"},
    {"id": "ü", "n": 0.1},
    {"id": "c"},
]


@given(st.data())
def test_any_cut_leaves_the_whole_entries(tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("journal") / "deep" / "j.jsonl"
    journal = Journal(path)
    ends = [0]
    for entry in ENTRIES:
        journal.append(entry)
        ends.append(path.stat().st_size)
    size = data.draw(st.integers(0, ends[-1]))
    path.write_bytes(path.read_bytes()[:size])
    whole = sum(end <= size for end in ends) - 1
    reopened = Journal(path)
    assert reopened.entries == ENTRIES[:whole]
    for entry in ENTRIES[whole:]:
        reopened.append(entry)
    assert Journal(path).entries == ENTRIES


def test_entries_can_be_dropped(tmp_path) -> None:
    journal = Journal(tmp_path / "j")
    for entry in ENTRIES:
        journal.append(entry)
    journal.cut(1)
    journal.append(ENTRIES[2])
    assert Journal(tmp_path / "j").entries == journal.entries == [ENTRIES[0], ENTRIES[2]]


def test_damage_is_named(tmp_path) -> None:
    path = tmp_path / "j"
    journal = Journal(path)
    for entry in ENTRIES:
        journal.append(entry)
    right = path.read_bytes()
    path.write_bytes(right.replace(b"0.1", b"0.2"))
    with pytest.raises(InputError, match=r"j:2: was edited after .*Remove the file"):
        Journal(path)
    for line in (b"\0\0", b"[" * 100_000, b'{"a": NaN}', b"\xff"):
        path.write_bytes(right + line + b"\n")
        with pytest.raises(InputError, match=r"j: a line is no JSON \(line 4.*Remove the file"):
            Journal(path)
    for line in (b"[]", b'{"a": 1}', b"null"):
        path.write_bytes(right + line + b"\n")
        with pytest.raises(InputError, match=r"j:4: .*Remove the file"):
            Journal(path)


def test_what_an_older_version_wrote_is_found_out_anew(tmp_path) -> None:
    path = tmp_path / "j"
    path.write_bytes(b'{"id": "a"}\n{"id": "b"}\n')
    journal = Journal(path)
    assert journal.entries == []
    journal.append({"id": "c"})
    assert Journal(path).entries == [{"id": "c"}]


def test_entries_of_another_shape_are_refused(tmp_path) -> None:
    Journal(tmp_path / "j").append({"id": "a"})
    assert Journal(tmp_path / "j", shapes.record({"id": shapes.text})).entries == [{"id": "a"}]
    with pytest.raises(InputError, match=r"j:1: missing sha256"):
        Journal(tmp_path / "j", shapes.record({"sha256": shapes.sha256}))
