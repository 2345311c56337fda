"""What a killed process leaves of a journal."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.core.errors import InputError
from quantkit.suite.journal import Journal

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
    path.write_bytes(b'{"a": 1}\n\x00\x00\n')
    with pytest.raises(InputError, match=r"j: a line is no JSON .*Remove the file"):
        Journal(path)


@pytest.mark.parametrize("line", [b"[]", b"3", b'{"pin": 3}', b"{}", b"[" * 10**5, b'{"a": NaN}'])
def test_what_is_no_entry_is_named(tmp_path, line) -> None:
    path = tmp_path / "j"
    path.write_bytes(b'{"pin": "a"}\n' + line + b"\n")
    with pytest.raises(InputError, match=r"j:2:.*Remove the file"):
        Journal(path, lambda entry: isinstance(entry.get("pin"), str))
