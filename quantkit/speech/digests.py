"""Digests of files that are not read again while nothing about them changes."""

from __future__ import annotations

from pathlib import Path

from quantkit.core import shapes
from quantkit.core.files import sha256_file, sha256_json
from quantkit.speech.journal import Journal

_ENTRY = shapes.record({"file": shapes.sha256, "sha256": shapes.sha256})


class FileDigests:
    """SHA-256 of files, kept under their path, size and times."""

    def __init__(self, path: Path) -> None:
        """Go on with the digests kept in `path`."""
        self._journal = Journal(path, _ENTRY)
        self._known = {entry["file"]: entry["sha256"] for entry in self._journal.entries}

    def of(self, path: Path) -> str:
        """Hexadecimal SHA-256 of a file.

        Raises:
            OSError: the file cannot be read.
        """
        state = path.stat()
        facts = [str(path.resolve()), state.st_size, state.st_mtime_ns, state.st_ctime_ns]
        file = sha256_json(facts)
        if file not in self._known:
            self._known[file] = sha256_file(path)
            self._journal.append({"file": file, "sha256": self._known[file]})
        return str(self._known[file])
