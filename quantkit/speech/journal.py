"""Facts in a file to which one is added at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from quantkit.core import shapes
from quantkit.core.errors import InputError
from quantkit.core.files import canonical_json, write_bytes
from quantkit.core.integrity import SEAL, seal_problem, sealed
from quantkit.core.strict_json import parse_json

Entry = dict[str, Any]
_REMOVE = "Remove the file: what it is about is found out anew"


class Journal:
    """JSON lines; a process that is killed while it adds one leaves all others.

    A line holds a digest of itself, so that damage is told.

    Attributes:
        entries: all of them, in order.
    """

    def __init__(self, path: Path, shape: shapes.Shape = shapes.record({})) -> None:  # noqa: B008
        """Read the entries that are there, and remove what a killed process left of one.

        Each of them has the `shape`. What an older version wrote has no digests and is left out.

        Raises:
            InputError: the file is damaged.
        """
        self._path = path
        content = path.read_bytes() if path.exists() else b""
        whole, newline, torn = content.rpartition(b"\n")
        if torn:
            write_bytes(path, whole + newline)
        try:
            lines = [
                parse_json(line, f"line {number}")
                for number, line in enumerate(whole.splitlines(), start=1)
            ]
        except InputError as error:
            raise InputError(f"{path}: a line is no JSON ({error}). {_REMOVE}") from error
        if lines and isinstance(lines[0], dict) and SEAL not in lines[0]:
            write_bytes(path, b"")
            lines = []
        self.entries: list[Entry] = [
            _entry(line, f"{path}:{number}", shape) for number, line in enumerate(lines, start=1)
        ]

    def append(self, entry: Entry) -> None:
        """Add an entry and put it on the disk."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(_line(entry))
            file.flush()
            os.fsync(file.fileno())
        self.entries.append(entry)

    def cut(self, count: int) -> None:
        """Keep only the first `count` entries."""
        if len(self.entries) > count:
            self.entries = self.entries[:count]
            write_bytes(self._path, b"".join(map(_line, self.entries)))


def _line(entry: Entry) -> bytes:
    return canonical_json(sealed(entry)).encode() + b"\n"


def _entry(line: Any, where: str, shape: shapes.Shape) -> Entry:
    try:
        shape(line, where)
    except InputError as error:
        raise InputError(f"{error}. {_REMOVE}") from error
    if problem := seal_problem(line):
        raise InputError(f"{where}: {problem}. {_REMOVE}")
    return {key: value for key, value in line.items() if key != SEAL}
