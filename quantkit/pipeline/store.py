"""The content-addressed store: results of stages under the digests of their keys.

Layout: `ROOT/STAGE/DIGEST/files/...` and, written last, `ROOT/STAGE/DIGEST/entry.json`. The
directory appears under its name only when it is complete, so what is in the store is whole. An
unfinished stage keeps what it can go on from in `ROOT/STAGE/.DIGEST.scratch`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from quantkit.core.errors import InputError
from quantkit.core.files import complete_directory, sha256_file, sweep, write_json
from quantkit.pipeline.key import StageKey

ENTRY = "entry.json"
FILES = "files"
SCRATCH = ".scratch"


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
        """What is wrong with the stored files by their names and sizes, or None."""
        for name, facts in self.files.items():
            path = self.directory / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != facts["bytes"]:
                return f"{name} has {path.stat().st_size} bytes instead of {facts['bytes']}"
        return None


class Store:
    """Results of stages on disk, shared by recipes and by processes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, key: StageKey) -> Entry | None:
        """The complete result of a key, if there is one."""
        return _read(self._path(key))

    def read(self, key: StageKey) -> Entry:
        """The complete result of a key.

        Raises:
            InputError: it is not there, because something emptied the store during the run.
        """
        entry = self.find(key)
        if entry is None:
            raise InputError(
                f"{self._path(key)}: the result of stage {key.stage!r} vanished while it was "
                "needed; do not delete the store during a build. Run the command again"
            )
        return entry

    def newest(self, stage: str, recipe: str) -> Entry | None:
        """The latest result of a stage, of the recipe of this name if it has one."""
        found = sorted(
            (self.root / stage).glob(f"[!.]*/{ENTRY}"), key=lambda path: path.stat().st_mtime
        )
        entries = [entry for path in reversed(found) if (entry := _read(path.parent))]
        own = [entry for entry in entries if entry.recipe == recipe]
        return next(iter([*own, *entries]), None)

    @contextmanager
    def locked(self, key: StageKey) -> Iterator[None]:
        """Hold the key's lock, so that two processes never do the same work."""
        with self._lock(key.stage, key.digest):
            yield

    @contextmanager
    def writing(self, key: StageKey, recipe: str) -> Iterator[tuple[Path, Path]]:
        """Yield an empty directory, whose files become the key's result, and the key's scratch.

        If the block is interrupted the result is dropped and the scratch stays, until the result
        is complete.
        """
        scratch = self._scratch(key)
        with complete_directory(self._path(key)) as temporary:
            files = temporary / FILES
            files.mkdir()
            scratch.mkdir(exist_ok=True)
            yield files, scratch
            listed = {
                str(path.relative_to(files)): {
                    "bytes": path.stat().st_size,
                    "sha256": sha256_file(path),
                }
                for path in sorted(files.rglob("*"))
                if path.is_file()
            }
            entry = {"key": key.as_json(), "recipe": recipe, "files": listed}
            write_json(temporary / ENTRY, entry)
        shutil.rmtree(scratch)

    def discard_scratch(self, key: StageKey) -> None:
        """Make the next run of the key begin at its beginning."""
        scratch = self._scratch(key)
        if scratch.exists():
            shutil.rmtree(scratch)

    def sweep(self) -> None:
        """Remove what killed runs left and cannot be gone on from; the living are not disturbed."""
        for stage in self.root.glob("*/"):
            sweep(stage)
        for scratch in self.root.glob(f"*/.*{SCRATCH}"):
            final = scratch.with_name(scratch.name[1 : -len(SCRATCH)])
            try:
                with self._lock(scratch.parent.name, final.name, timeout=0):
                    if final.exists():
                        shutil.rmtree(scratch)
            except Timeout:
                continue

    def _path(self, key: StageKey) -> Path:
        return self.root / key.stage / key.digest

    def _scratch(self, key: StageKey) -> Path:
        path = self._path(key)
        return path.with_name(f".{path.name}{SCRATCH}")

    def _lock(self, stage: str, digest: str, timeout: float = -1) -> FileLock:
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{stage}-{digest}.lock", timeout=timeout)


def _read(path: Path) -> Entry | None:
    if not (path / ENTRY).is_file():
        return None
    entry = json.loads((path / ENTRY).read_text(encoding="utf-8"))
    return Entry(path, entry["key"], entry["recipe"], entry["files"])
