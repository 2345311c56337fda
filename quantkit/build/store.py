"""The content-addressed store: results of stages under the digests of their keys.

Layout: `ROOT/STAGE/DIGEST/files/...` and, written last, `ROOT/STAGE/DIGEST/entry.json`. The
directory appears under its name only when it is complete, so what is in the store is whole. An
unfinished stage keeps what it can go on from in `ROOT/STAGE/.DIGEST.scratch`.

Nothing stored is used before it was compared with the digests in entry.json, which holds one of
itself. `ROOT/STAGE/DIGEST/checked.json` notes what was compared, so that it is read only once.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from quantkit.build.digests import Digests
from quantkit.build.key import StageKey
from quantkit.core import shapes
from quantkit.core.errors import InputError
from quantkit.core.files import complete_directory, sha256_json, sweep, write_json
from quantkit.core.integrity import FACTS, seal_problem, sealed
from quantkit.core.strict_json import read_json
from quantkit.core.text import one_line

ENTRY = "entry.json"
FILES = "files"
CHECKED = "checked.json"
SCRATCH = ".scratch"
#: Far more than the entry of a stage with a file for each matrix of the largest model.
_ENTRY_BYTES = 16 * 2**20
#: Names of damaged files that a message lists.
_NAMED = 3
#: What systems answer where nothing may be written.
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def suppress_read_only() -> Iterator[None]:
    """Go on where nothing may be written; other errors are raised."""
    try:
        yield
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise


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


class Store:
    """Results of stages on disk, shared by recipes and by processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._hold: IO[bytes] | None = None

    def hold(self) -> None:
        """Let nothing be removed from the store as long as this object lives.

        Raises:
            InputError: the store cannot be a directory.
        """
        if self._hold is None:
            with suppress_read_only():
                self._hold = self._open_lock("in-use")
                fcntl.flock(self._hold, fcntl.LOCK_SH)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """For the block, be the only one that uses the store.

        Raises:
            InputError: another command uses it.
        """
        with self._open_lock("in-use") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(
                    f"--store {self.root}: another command uses it; wait for its end, or stop it"
                ) from error
            yield

    def entries(self) -> Iterator[Entry]:
        """All complete results whose entries are sound; their files are not read."""
        for path in sorted(self.root.glob(f"*/[!.]*/{ENTRY}")):
            if entry := _sound(path.parent):
                yield entry

    def find(self, key: StageKey) -> Entry | None:
        """The complete result of a key, if there is one, compared with its digests.

        Raises:
            DamagedError: it is not what was written.
        """
        path = self._path(key)
        if not os.path.lexists(path):
            return None
        entry = _read(path)
        if damage := entry.damage():
            raise DamagedError(path, damage)
        return entry

    def has(self, key: StageKey) -> bool:
        """Whether there is a complete and sound result."""
        try:
            return self.find(key) is not None
        except DamagedError:
            return False

    def read(self, key: StageKey) -> Entry:
        """The complete result of a key, compared with its digests.

        Raises:
            InputError: it is not there, because something emptied the store during the run, or
                damaged.
        """
        entry = self.find(key)
        if entry is None:
            raise InputError(
                f"{self._path(key)}: the result of stage {key.stage!r} vanished while it was "
                "needed; do not delete the store during a build. Run the command again"
            )
        with suppress_read_only():
            os.utime(entry.path)  # when it was used last
        return entry

    def newest(self, stage: str, recipe: str) -> Entry | None:
        """The latest result of a stage, of the recipe of this name if it has one."""
        found = sorted(
            (self.root / stage).glob(f"[!.]*/{ENTRY}"), key=lambda path: path.stat().st_mtime
        )
        entries = [entry for path in reversed(found) if (entry := _sound(path.parent))]
        own = [entry for entry in entries if entry.recipe == recipe]
        return next(iter([*own, *entries]), None)

    @contextmanager
    def locked(self, key: StageKey) -> Iterator[None]:
        """Hold the key's lock, so that two processes never do the same work."""
        self.hold()
        with self._held(f"{key.stage}-{key.digest}"):
            yield

    @contextmanager
    def locked_output(self, out: Path) -> Iterator[None]:
        """Hold the lock of a directory that results are written to."""
        with self._held(f"bundle-{sha256_json(str(out.resolve()))}"):
            yield

    @contextmanager
    def writing(self, key: StageKey, recipe: str) -> Iterator[tuple[Path, Path]]:
        """Yield an empty directory, whose files become the key's result, and the key's scratch.

        If the block is interrupted the result is dropped and the scratch stays, until the result
        is complete.

        Raises:
            InputError: nothing can be written to the store.
        """
        self._check_writable(key)
        scratch = self._scratch(key)
        with complete_directory(self._path(key)) as temporary:
            files = temporary / FILES
            files.mkdir()
            scratch.mkdir(exist_ok=True)
            yield files, scratch
            digests = Digests(files, temporary / CHECKED)
            listed = {
                str(path.relative_to(files)): {
                    "bytes": path.stat().st_size,
                    "sha256": digests.of(str(path.relative_to(files))),
                }
                for path in sorted(files.rglob("*"))
                if path.is_file()
            }
            digests.save()
            entry = {"key": key.as_json(), "recipe": recipe, "files": listed}
            write_json(temporary / ENTRY, sealed(entry))
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
                with self._lock(f"{scratch.parent.name}-{final.name}", timeout=0):
                    if final.exists():
                        shutil.rmtree(scratch)
            except OSError as error:  # somebody works there, or nothing can be removed
                if not isinstance(error, Timeout) and error.errno not in _READ_ONLY:
                    raise

    def _path(self, key: StageKey) -> Path:
        return self.root / key.stage / key.digest

    def _scratch(self, key: StageKey) -> Path:
        path = self._path(key)
        return path.with_name(f".{path.name}{SCRATCH}")

    @contextmanager
    def _held(self, name: str) -> Iterator[None]:
        """Hold a lock, unless nothing can be written here: then nobody does work to wait for."""
        with ExitStack() as held:
            with suppress_read_only():
                held.enter_context(self._lock(name))
            yield

    def _lock(self, name: str, timeout: float = -1) -> FileLock:
        return FileLock(self._locks() / f"{name}.lock", timeout=timeout)

    def _open_lock(self, name: str) -> IO[bytes]:
        return (self._locks() / f"{name}.lock").open("ab")

    def _locks(self) -> Path:
        folder = self.root / "locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise InputError(
                f"--store {self.root}: found a file in the way ({error.filename}), accepted: a "
                "directory"
            ) from error
        return folder

    def _check_writable(self, key: StageKey) -> None:
        folder = self._path(key).parent
        with suppress_read_only():
            folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise InputError(
                f"--store {self.root}: cannot be written, and stage {key.stage!r} has to be run; "
                "name another directory"
            )


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


def _read(path: Path) -> Entry:
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


def _sound(path: Path) -> Entry | None:
    """The entry of a directory, as far as a plan's comparison with older results needs it."""
    try:
        return _read(path)
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
