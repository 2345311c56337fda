"""Facts in a file to which one is added at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quantkit.core.errors import InputError
from quantkit.core.files import write_bytes
from quantkit.core.strict_json import parse_json

Entry = dict[str, Any]
_ANEW = "what it is about is found out anew"


class Journal:
    """JSON lines; a process that is killed while it adds one leaves all others.

    Attributes:
        entries: all of them, in order.
    """

    def __init__(self, path: Path, fits: Callable[[Entry], bool] = lambda _: True) -> None:
        """Read the entries that are there, and remove what a killed process left of one.

        `fits` tells whether an entry has the keys and types that entries of this journal have.

        Raises:
            InputError: the file is damaged.
        """
        self._path = path
        content = path.read_bytes() if path.exists() else b""
        whole, newline, torn = content.rpartition(b"\n")
        try:
            self.entries: list[Entry] = [
                parse_json(line, str(path), number)
                for number, line in enumerate(whole.split(b"\n") if whole else [], start=1)
            ]
        except InputError as error:
            raise InputError(
                f"{path}: a line is no JSON ({error}). Remove the file: {_ANEW}"
            ) from error
        for number, entry in enumerate(self.entries, start=1):
            if not isinstance(entry, dict) or not fits(entry):
                raise InputError(f"{path}:{number}: is no entry of it. Remove the file: {_ANEW}")
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
