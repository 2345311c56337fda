"""One stored result: its entry, and whether its files are what was written.

Nothing stored is used before it was compared with the digests in entry.json, which holds one of
itself. `checked.json` beside it notes what was compared, so that it is read only once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from quantkit.build.digests import Digests
from quantkit.core import shapes
from quantkit.core.errors import InputError
from quantkit.core.files import sha256_json
from quantkit.core.integrity import FACTS, seal_problem
from quantkit.core.strict_json import read_json
from quantkit.core.text import one_line

ENTRY = "entry.json"
FILES = "files"
CHECKED = "checked.json"
#: Far more than the entry of a stage with a file for each matrix of the largest model.
_ENTRY_BYTES = 16 * 2**20
#: Names of damaged files that a message lists.
_NAMED = 3


class DamagedError(InputError):
    """A stored result is not what was written; `damage` says how."""

    def __init__(self, path: Path, damage: str) -> None:
        super().__init__(
            f"{path}: the stored result is damaged: {damage}; run the command again, which makes "
            "it anew"
        )
        self.damage = damage


@dataclass(frozen=True)
class Entry:
    """One stored result: its key, the recipe that made it first, and its files' sizes, digests."""

    path: Path
    key: dict[str, Any]
    recipe: str
    files: dict[str, dict[str, Any]]

    @property
    def directory(self) -> Path:
        """Where the stage's files are; read only."""
        return self.path / FILES

    def damage(self) -> str | None:
        """How the stored files differ from what was written, or None."""
        found = {
            str(path.relative_to(self.directory))
            for path in self.directory.rglob("*")
            if not path.is_dir()
        }
        unknown = sorted(found - self.files.keys())
        wrong = [f"{one_line(name)} is no part of it" for name in unknown]
        digests = _digests(self.path)
        wrong += [
            f"{name} {problem}"
            for name, facts in self.files.items()
            if (problem := _problem(self.directory / name, name, facts, digests))
        ]
        digests.save()
        more = [f"{len(wrong) - _NAMED} more"] if len(wrong) > _NAMED else []
        return "; ".join([*wrong[:_NAMED], *more]) or None


def _stored_name(value: Any, where: str) -> None:
    """The shape of a file's name below `files`."""
    shapes.text(value, where)
    parts = value.split("/")
    if not value.isprintable() or len(value) > 1000 or {"", ".", ".."} & set(parts):
        raise shapes.unfit(value, where, "names below the result")


_ENTRY = shapes.record(
    {
        "key": shapes.record(
            {
                "stage": shapes.text,
                "version": shapes.text,
                "settings": shapes.mapping(shapes.text, shapes.anything),
                "inputs": shapes.mapping(shapes.text, shapes.text),
                "libraries": shapes.mapping(shapes.text, shapes.text),
            }
        ),
        "recipe": shapes.text,
        "files": shapes.mapping(_stored_name, FACTS, most=1_000_000),
    }
)


def read_entry(path: Path) -> Entry:
    """The entry of a directory of the store.

    Raises:
        DamagedError: there is none, or it is not what was written.
    """
    file = path / ENTRY
    try:
        entry = read_json(file, _ENTRY_BYTES)
        _ENTRY(entry, str(file))
    except InputError as error:
        raise DamagedError(path, str(error).replace(str(file), ENTRY)) from error
    if problem := seal_problem(entry):
        raise DamagedError(path, f"{ENTRY} {problem}")
    if sha256_json(entry["key"]) != path.name:
        raise DamagedError(path, f"{ENTRY} is that of another result")
    return Entry(path, entry["key"], entry["recipe"], entry["files"])


@cache
def _digests(path: Path) -> Digests:
    """Digests of a result's files, remembered by this process where no notes can be written."""
    return Digests(path / FILES, path / CHECKED)


def sound_entry(path: Path) -> Entry | None:
    """The entry of a directory, whose files are not read; None where it is damaged."""
    try:
        return read_entry(path)
    except DamagedError:
        return None


def _problem(path: Path, name: str, facts: dict[str, Any], digests: Digests) -> str | None:
    if not path.is_file():
        return "is missing"
    if path.stat().st_size != facts["bytes"]:
        return f"has {path.stat().st_size} bytes instead of {facts['bytes']}"
    try:
        digest = digests.of(name)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if digest == facts["sha256"] else "differs from its digest"
