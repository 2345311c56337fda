"""Opens whatever a path names, a pipe too, as bytes of which any can be read at any time."""

from __future__ import annotations

import errno
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

from quantkit.core.errors import InputError
from quantkit.core.text import one_line

#: The path that stands for standard input.
STANDARD_INPUT = Path("-")
#: Bytes of a pipe that are taken: an hour of 24-bit stereo at 48 kHz. From `IN_MEMORY` on they lie
#: in a temporary file without a name, which is gone when it is closed.
PIPE_LIMIT = 1 << 30
IN_MEMORY = 1 << 26
_BLOCK = 1 << 16

_HINTS = {
    errno.ENOENT: "no such audio file. Check the path.",
    errno.ENOTDIR: "no such audio file: a part of the path is no directory. Check the path.",
    errno.EACCES: "permission denied. Let this user read it, or copy it.",
    errno.EPERM: "permission denied. Let this user read it, or copy it.",
    errno.EMFILE: "too many files are open in this process. Raise the limit (ulimit -n).",
    errno.ENFILE: "too many files are open on this machine. Close some programs.",
    errno.EBADF: "is standard input, which is closed. Pipe audio into it or name a file.",
}


class Source:
    """The bytes of a recording. `label` is what messages call it."""

    def __init__(self, file: IO[bytes], name: Path) -> None:
        self.name, self.label = name, one_line(str(name))
        self._file = file
        self.size = file.seek(0, os.SEEK_END)

    def at(self, start: int, count: int) -> bytes:
        """So many bytes from `start` on; fewer at the end.

        Raises:
            InputError: the disk or the network cannot give them.
        """
        if start >= self.size:
            return b""
        try:
            self._file.seek(start)
            return self._file.read(min(count, self.size - start))
        except OSError as error:
            raise told(self.name, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def open_source(path: Path) -> Source:
    """Open a file, or take what a pipe or standard input (`-`) gives to its end.

    Raises:
        InputError: nothing is there, or it is empty, a directory, a device, not to be read, or a
            pipe that gives more than `PIPE_LIMIT` bytes.
    """
    with _explained(path):
        file = _standard_input() if path == STANDARD_INPUT else _open(path)
        try:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode) or path == STANDARD_INPUT:
                _refuse_devices(path, mode)
                with file:
                    return Source(_taken(path, file), path)
            source = Source(file, path)
        except BaseException:
            file.close()
            raise
    if source.size == 0:
        file.close()
        raise InputError(
            f"{one_line(str(path))}: is empty (0 bytes). Record or copy the file again."
        )
    return source


def _standard_input() -> IO[bytes]:
    if sys.__stdin__ is None:  # else its number may be that of a file opened since
        raise OSError(errno.EBADF, "closed")
    return open(0, "rb", closefd=False)


def _open(path: Path) -> IO[bytes]:
    if path.is_dir():
        raise InputError(
            f"{one_line(str(path))}: is a directory. Name the audio files in it, one by one."
        )
    # What else can be opened without waiting for a writer is looked at before it is.
    _refuse_devices(path, path.stat().st_mode)
    return path.open("rb", buffering=_BLOCK)


def _refuse_devices(path: Path, mode: int) -> None:
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise InputError(
            f"{one_line(str(path))}: is a terminal or another device. Name an audio file, or pipe "
            f"audio into it."
        )


def _taken(path: Path, pipe: IO[bytes]) -> IO[bytes]:
    """What a pipe gives, where it can be read again: libsndfile goes back and forth."""
    kept = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115
    try:
        while kept.tell() <= PIPE_LIMIT and (block := pipe.read(_BLOCK)):
            _keep(path, kept, block)
        _refuse_size(path, kept.tell())
    except BaseException:
        kept.close()
        raise
    return kept


def _keep(path: Path, kept: IO[bytes], block: bytes) -> None:
    try:
        kept.write(block)
    except OSError as error:
        raise InputError(
            f"{one_line(str(path))}: what it gives cannot be kept in {tempfile.gettempdir()} "
            f"({error.strerror}). Make room there, set TMPDIR, or write it to a file first."
        ) from error


def _refuse_size(path: Path, size: int) -> None:
    if size == 0:
        raise InputError(
            f"{one_line(str(path))}: gives nothing (0 bytes). Check what writes into it."
        )
    if size > PIPE_LIMIT:
        raise InputError(
            f"{one_line(str(path))}: gives more than {PIPE_LIMIT >> 20} MB; so much of a pipe is "
            f"taken. Write it to a file first."
        )


def told(path: Path, error: OSError) -> InputError:
    """What the operating system says of a path, in words of audio."""
    hint = _HINTS.get(error.errno or 0, f"cannot be read ({error.strerror or error}).")
    return InputError(f"{one_line(str(path))}: {hint}")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say what is wrong with a path."""
    try:
        yield
    except OSError as error:
        raise told(path, error) from error
    except InputError:
        raise
    except ValueError as error:  # a NUL, or letters that this system's names cannot have
        raise InputError(
            f"{one_line(str(path))}: cannot be the name of a file ({error})."
        ) from error
