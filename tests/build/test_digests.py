import hashlib
import os
import time

import pytest

from quantkit.build import digests
from quantkit.build.digests import Digests


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """Names of the files that were read for their digest."""
    names: list[str] = []

    def sha256_file(path) -> str:
        names.append(path.name)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(digests, "sha256_file", sha256_file)
    return names


def _settle() -> None:
    time.sleep(0.03)


def test_a_file_is_read_once_for_each_time_of_change(tmp_path, read) -> None:
    folder, notes = tmp_path / "files", tmp_path / "checked.json"
    folder.mkdir()
    (folder / "a").write_bytes(b"1")
    _settle()
    for _ in range(3):
        found = Digests(folder, notes)
        first = found.of("a")
        found.save()
    assert read == ["a"]
    status = (folder / "a").stat()
    (folder / "a").write_bytes(b"2")
    os.utime(folder / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert Digests(folder, notes).of("a") != first
    assert read == ["a", "a"]


def test_a_file_that_has_just_changed_is_not_noted(tmp_path, read) -> None:
    (tmp_path / "a").write_bytes(b"1")
    found = Digests(tmp_path, tmp_path / "checked.json")
    found.of("a")
    found.of("a")
    assert read == ["a", "a"]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"a": 1}', '{"a": {"stamp": [], "sha256": 0}}']
)
def test_damaged_notes_are_none(tmp_path, read, content) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "checked.json").write_text(content)
    assert Digests(tmp_path, tmp_path / "checked.json").of("a").startswith("6b86b273")
    assert read == ["a"]


def test_what_cannot_be_noted_is_remembered(tmp_path, read) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "file").write_bytes(b"")
    _settle()
    found = Digests(tmp_path, tmp_path / "file" / "checked.json")
    found.of("a")
    found.save()
    found.of("a")
    assert read == ["a"]
