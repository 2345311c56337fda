"""What somebody might send as a `.nemo` is refused before anything of it runs, grows or is kept."""

from __future__ import annotations

import copy
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quantkit.core.errors import InputError
from quantkit.nemo.loading.checkpoint import load_checkpoint
from tests.models.shape import SMALL
from tests.nemo.loading.hostile import CASES, Make, Parts, sound_parts

pytestmark = pytest.mark.slow

# Beside twice the archive: what Python keeps of a thousand headers or a megabyte of pickle.
SLACK = 96 * 2**20
_ACTS = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn")
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink", "os.truncate", "shutil.")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_seen: list[str] | None = None


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event.startswith((*_ACTS, *_CHANGES)):
        _seen.append(f"{event} {arguments}")
    writing = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING
    # A file without a name is told by the folder that it lies in.
    if writing and str(arguments[0]) != tempfile.gettempdir():
        _seen.append(f"open {arguments}")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """The parts of a small checkpoint, which has been loaded once."""
    parts = sound_parts()
    path = tmp_path_factory.mktemp("sound") / "sound.nemo"
    parts.write(path)
    load_checkpoint(path)
    sys.addaudithook(_listen)
    return parts


@pytest.fixture
def deeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is done meanwhile that reading a file does not need."""
    global _seen  # noqa: PLW0603  (an audit hook can be added, but not taken away)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path)
    done: list[str] = []
    _seen = done
    yield done
    _seen = None


@pytest.mark.parametrize(("make", "word"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_is_refused_and_nothing_happens(
    make: Make, word: str, sound: Parts, tmp_path: Path, deeds: list[str]
) -> None:
    path = tmp_path / "hostile.nemo"
    make(copy.deepcopy(sound), path)
    deeds.clear()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError) as caught:
        load_checkpoint(path)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert word in message
    assert len(message.encode()) <= 2000
    assert deeds == []
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["hostile.nemo", "temporary"]
    assert grown <= 2 * path.stat().st_size + SLACK


def test_the_parts_themselves_are_sound(sound: Parts, tmp_path: Path, deeds: list[str]) -> None:
    path = tmp_path / "sound.nemo"
    sound.write(path)
    deeds.clear()
    assert load_checkpoint(path).joint.num_classes_with_blank == SMALL.pieces + 1
    assert deeds == []
