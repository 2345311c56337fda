"""Files that are either complete or absent, and their digests.

What is written grows under a name that follows from the final one, `.NAME.partial`, and is locked
while its writer lives. So two writers of one file take turns, a killed one leaves nothing that the
next does not find and remove, and modes are those of the umask. Links are followed: what they lead
to is replaced, not they.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from quantkit.core.errors import InputError, QuantkitError

PARTIAL = ".partial"
_RETIRED, _OLD = ".retired", "old"
_TEMPORARY = "quantkit-"
#: What a disk answers that is full, read-only or broken.
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
#: What file systems without locks answer.
_NO_LOCKS = {errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with one possible spelling, for digests: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256_json(value: Any) -> str:
    """Hexadecimal SHA-256 of the canonical JSON of a value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON so that the file is complete or absent."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text so that the file is complete or absent."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it is complete or absent; a device or a pipe just takes the content."""
    path = _followed(path)
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path, PARTIAL)
    writing = os.O_RDWR | os.O_CREAT
    with _put_away(partial), named_errors(path), _locked(partial, writing) as handle:
        try:
            os.truncate(handle, 0)
            with os.fdopen(os.dup(handle), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Errors of a disk that name no file name this one.

    Raises:
        OSError: also for what a library tells of a full disk in words of its own.
    """
    try:
        yield
    except QuantkitError:
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        if number is None and _is_full(path):
            number = errno.ENOSPC
        if number not in DISK_ERRORS or getattr(error, "filename", None) is not None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def require_space(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin what would fill the disk; `what` is a plural, such as "sums".

    A full disk under a memory-mapped file kills the process without a word.

    Raises:
        InputError: fewer than `needed` bytes are free where the existing `folder` lies.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{what} need {size_text(needed)} of disk, {size_text(free)} are free in {folder}; "
            "make room, or name a folder on another disk"
        )


def sync_tree(directory: Path) -> None:
    """Flush every file below a directory, and the directories, to the disk."""
    for path in [*directory.rglob("*"), directory]:
        _sync(path)


@contextmanager
def scratch_directory(path: Path) -> Iterator[Path]:
    """Make an empty directory for the block alone; it goes with the block.

    Another process that wants the same one waits. What a killed one left in it is removed.
    """
    with _put_away(path), _directory(path), _lent(path):
        yield path


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """Make an empty directory for the block alone, where the system keeps temporary files.

    What killed processes of the same user left there is removed. Names cannot be foreseen, as
    others may write there too.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_TEMPORARY}*{PARTIAL}"):
        with contextlib.suppress(FileNotFoundError):  # its owner has just ended
            if left.lstat().st_uid == os.getuid():
                _remove_dead(left)
    with ExitStack() as held:
        while True:
            path = Path(tempfile.mkdtemp(PARTIAL, _TEMPORARY))
            try:
                held.enter_context(_locked(path, os.O_RDONLY | os.O_DIRECTORY))
                break
            except FileNotFoundError:  # taken for one that a killed process left
                continue
        with _lent(path):
            yield path


@contextmanager
def complete_directory(final: Path) -> Iterator[Path]:
    """Yield a temporary sibling that becomes `final` only when the block ends without an error.

    An existing `final` is replaced. What a killed process left is taken over: its unfinished
    directory is emptied, the `final` that it was replacing is back.
    """
    final = _followed(final)
    temporary = _beside(final, PARTIAL)
    with _put_away(temporary), _directory(temporary):
        try:
            recover(final)
            with named_errors(temporary):
                yield temporary
                sync_tree(temporary)
            if final.exists():
                retired = _beside(final, _RETIRED)
                with _directory(retired):
                    final.replace(retired / _OLD)
                    temporary.replace(final)
                    shutil.rmtree(retired)
            else:
                temporary.replace(final)
            _sync(final.parent)
        except BaseException:
            recover(final)
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def recover(final: Path, *, wait: bool = True) -> None:
    """Bring back a directory whose replacement was cut off between taking it away and the new.

    Raises:
        OSError: among others BlockingIOError, if it is being replaced and `wait` is false.
    """
    final = _followed(final)
    retired = _beside(final, _RETIRED)
    with contextlib.suppress(FileNotFoundError), _locked(retired, os.O_RDONLY, wait=wait):
        if not final.exists() and (retired / _OLD).exists():
            (retired / _OLD).replace(final)
        shutil.rmtree(retired, ignore_errors=True)


def sweep(directory: Path) -> None:
    """Remove what killed writers left in a directory; what a running process holds stays.

    Where the file system knows no locks nothing tells them apart, and nothing is removed.
    """
    for retired in directory.glob(f".*{_RETIRED}"):
        with contextlib.suppress(OSError):
            recover(retired.with_name(retired.name[1 : -len(_RETIRED)]), wait=False)
    for left in directory.glob(f".*{PARTIAL}"):
        _remove_dead(left)


@contextmanager
def _put_away(path: Path) -> Iterator[None]:
    """Leave nothing at `path` if a signal comes when it was just made and nothing holds it yet."""
    try:
        yield
    except BaseException:
        _remove_dead(path)
        raise


def _remove_dead(left: Path) -> None:
    """Remove a file or directory that nobody holds."""
    with contextlib.suppress(OSError), _locked(left, os.O_RDONLY, wait=False):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def size_text(count: int) -> str:
    """Bytes in the largest unit that leaves a number above 1, in steps of 1000."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1e3:.1f} kB"


def _followed(path: Path) -> Path:
    """What a path leads to, through all links."""
    return Path(os.path.realpath(path))


def _is_full(path: Path) -> bool:
    """Whether the file system of an existing path has less than a megabyte left."""
    try:
        return shutil.disk_usage(path if path.exists() else path.parent).free < 2**20
    except OSError:
        return False


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}{suffix}")


@contextmanager
def _lent(path: Path) -> Iterator[None]:
    """Remove a directory at the end of the block; errors of disks in it name it."""
    try:
        with named_errors(path):
            yield
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _directory(path: Path) -> Iterator[None]:
    """Hold a directory, made if need be, and empty it."""
    with _locked(path, os.O_RDONLY | os.O_DIRECTORY, make=True):
        for left in path.iterdir():
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        yield


@contextmanager
def _locked(path: Path, flags: int, *, make: bool = False, wait: bool = True) -> Iterator[int]:
    """Open a path and lock what it names; a lock goes with its process, however that ends.

    Raises:
        OSError: among others BlockingIOError, if another process has it and `wait` is false; then
            also if the file system knows no locks.
    """
    while True:
        if make:
            path.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        except FileNotFoundError:
            if make:  # its last owner has just renamed it
                continue
            raise
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except OSError as error:
                if error.errno not in _NO_LOCKS or not wait:
                    raise
            if _names(path, handle):
                yield handle
                return
        finally:
            os.close(handle)


def _names(path: Path, handle: int) -> bool:
    """Whether a path still names the file that is open."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
