"""The content-addressed store: results of stages under the digests of their keys.

Layout: `ROOT/STAGE/DIGEST/files/...` and, written last, `ROOT/STAGE/DIGEST/entry.json`. The
directory appears under its name only when it is complete, so what is in the store is whole. An
unfinished stage keeps what it can go on from in `ROOT/STAGE/.DIGEST.scratch`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from quantkit.build.digests import Digests
from quantkit.build.key import StageKey
from quantkit.build.stored_result import (
    CHECKED,
    ENTRY,
    FILES,
    DamagedError,
    Entry,
    read_entry,
    sound_entry,
)
from quantkit.core.errors import InputError
from quantkit.core.files import complete_directory, sha256_json, sweep, write_json
from quantkit.core.integrity import sealed

SCRATCH = ".scratch"
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
            if entry := sound_entry(path.parent):
                yield entry

    def find(self, key: StageKey) -> Entry | None:
        """The complete result of a key, if there is one, compared with its digests.

        Raises:
            DamagedError: it is not what was written.
        """
        path = self._path(key)
        if not os.path.lexists(path):
            return None
        entry = read_entry(path)
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
        entries = [entry for path in reversed(found) if (entry := sound_entry(path.parent))]
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
        """Remove what killed runs left and no run can use; what a running process holds stays."""
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
