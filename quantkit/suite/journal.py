"""Facts in a file to which one is added at a time."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from quantkit.core.errors import InputError
from quantkit.core.files import write_bytes

Entry = dict[str, Any]


class Journal:
    """JSON lines; a process that is killed while it adds one leaves all others.

    Attributes:
        entries: all of them, in order.
    """

    def __init__(self, path: Path) -> None:
        """Read the entries that are there, and remove what a killed process left of one.

        Raises:
            InputError: the file is damaged.
        """
        self._path = path
        content = path.read_bytes() if path.exists() else b""
        whole, newline, torn = content.rpartition(b"\n")
        try:
            self.entries: list[Entry] = [json.loads(line) for line in whole.splitlines()]
        except ValueError as error:
            raise InputError(
                f"{path}: a line is no JSON ({error}). Remove the file: what it is about is "
                "found out anew"
            ) from error
        if torn:
            write_bytes(path, whole + newline)

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
    return json.dumps(entry).encode() + b"\n"
