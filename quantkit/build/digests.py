"""Digests of stored files, each file read once for each size and time of change."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from quantkit.core import shapes
from quantkit.core.errors import InputError
from quantkit.core.files import sha256_file, write_json
from quantkit.core.strict_json import read_json

#: Within one tick of the clock a file can change twice and have one time.
_TICK_NS = 20_000_000
_NOTES = shapes.mapping(
    shapes.text,
    shapes.record(
        {"stamp": shapes.array(shapes.integer(-(2**63), 2**64), 4), "sha256": shapes.sha256}
    ),
)


class Digests:
    """SHA-256 of the files of a folder.

    What was read is noted in a file for later processes, or for this one alone where nothing can be
    written. A note holds only while the file has the size, times and inode that it was read with.
    """

    def __init__(self, folder: Path, notes: Path | None = None) -> None:
        """Go on with the digests of `folder` that are noted in the file `notes`, if given."""
        self._folder, self._file = folder, notes
        self._notes, self._changed = _read(notes), False

    def of(self, name: str) -> str:
        """Hexadecimal SHA-256 of a file.

        Raises:
            OSError: it cannot be read.
        """
        path = self._folder / name
        began, stamp = time.time_ns(), _stamp(path)
        note = self._notes.get(name)
        if note is not None and note["stamp"] == stamp:
            return str(note["sha256"])
        digest = sha256_file(path)
        if stamp[2] + _TICK_NS < began and _stamp(path) == stamp:
            self._notes[name] = {"stamp": stamp, "sha256": digest}
            self._changed = True
        return digest

    def save(self) -> None:
        """Note what was read."""
        if self._changed and self._file is not None:
            with contextlib.suppress(OSError):  # the next process reads the files again
                write_json(self._file, self._notes)
            self._changed = False


def _read(notes: Path | None) -> dict[str, Any]:
    """What is noted; nothing where none are there or they are damaged, so that files are read."""
    if notes is None:
        return {}
    try:
        found = read_json(notes)
        _NOTES(found, str(notes))
    except InputError:
        return {}
    return dict(found)


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
