"""Refuse at once what could not be written after the long work."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from quantkit.core.errors import InputError

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(r"\\([0-7]{3})")
_PROBE = ".probing"  # as long as any suffix that grows beside a final name


def check_file(option: str, path: Path) -> None:
    """Refuse a file that could not be written.

    `option` is where the path was given, for messages. A device or a pipe will do.

    Raises:
        InputError: it is a directory or mounted, or its own cannot be written or made.
    """
    with _refusals(option, path):
        real = _followed(option, path)
        if real.is_dir():
            raise InputError(f"{option} {path}: is a directory, accepted: a file")
        if _is_mounted(real):
            raise InputError(
                f"{option} {path}: is mounted, so it cannot be replaced; name another file"
            )
        if not real.exists() or real.is_file():
            _try_place(real)


def check_replaceable(option: str, out: Path, marker: str, what: str) -> None:
    """Refuse a directory of something else, which would be replaced.

    Args:
        option: where the path was given, for messages.
        out: the directory.
        marker: the file by which what may be replaced is known.
        what: the words for it.

    Raises:
        InputError: it is a file, or a directory with other files.
    """
    if out.exists() and not (out / marker).is_file() and (out.is_file() or any(out.iterdir())):
        raise InputError(
            f"{option} {out}: exists and holds no {what} of quantkit, accepted: a new or empty "
            f"directory, or one with {what} to replace"
        )


def check_directory(option: str, path: Path, inputs: Iterable[Path] = ()) -> None:
    """Refuse a directory that could not be written, as a whole, in the place of an older one.

    Raises:
        InputError: it is a file, mounted or the working directory, one of the `inputs` lies in it,
            or its own directory cannot be written or made.
    """
    with _refusals(option, path):
        real = _followed(option, path)
        if real.exists() and not real.is_dir():
            raise InputError(f"{option} {path}: is a file, accepted: a directory")
        if Path.cwd().is_relative_to(real):
            raise InputError(
                f"{option} {path}: holds the working directory, so it cannot be replaced; name a "
                f"directory in it, such as {path / 'out'}"
            )
        if _is_mounted(real):
            raise InputError(
                f"{option} {path}: is mounted, so it cannot be replaced; name a directory in it, "
                f"such as {path / 'out'}"
            )
        for one in inputs:
            if Path(os.path.realpath(one)).is_relative_to(real):
                raise InputError(
                    f"{option} {path}: would replace {one}, which is needed; name another directory"
                )
        _try_place(real)


def _followed(option: str, path: Path) -> Path:
    real = Path(os.path.realpath(path))
    if path.is_symlink() and not real.exists() and not real.parent.is_dir():
        raise InputError(
            f"{option} {path}: is a link to {real}, where there is no directory; make it, or name "
            "another place"
        )
    return real


def _is_mounted(path: Path) -> bool:
    """Whether something is mounted at a path or below it."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # another system than Linux
        return path.is_mount()
    points = (_ESCAPE.sub(lambda code: chr(int(code[1], 8)), line.split()[4]) for line in lines)
    return any(Path(point).is_relative_to(path) for point in points)


@contextmanager
def _refusals(option: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{option} {path}: cannot be written: {error.strerror}; name another place"
        ) from error


def _try_place(real: Path) -> None:
    """Try whether names as long as those that will be needed can be written where they will be.

    Raises:
        OSError: they cannot.
    """
    there, names = real.parent, [real.name]
    while not there.exists():
        names.append(there.name)
        there = there.parent
    if not there.is_dir():
        raise NotADirectoryError(None, f"{there} is a file")
    for name in names:
        probe = there / f".{name}{_PROBE}"
        with contextlib.suppress(FileExistsError):
            probe.mkdir()
        with contextlib.suppress(FileNotFoundError):  # of another process that tries the same
            probe.rmdir()
