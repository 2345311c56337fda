"""The program's own output, apart from what libraries print.

Libraries print on standard output, some of them from C. As that belongs to whoever reads tables
and JSON, the program keeps it for itself and leaves standard error to them.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from quantkit.core.errors import QuantkitError


class _Own:
    """Standard output, once the program has taken it for itself."""

    stream: TextIO | None = None


class _Log(io.FileIO):
    """Standard error: where it cannot be written nobody could be told, and the work goes on."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content)
        except OSError:
            return len(content)


def output() -> TextIO:
    """Where results are printed."""
    return _Own.stream or sys.stdout


def take_output() -> None:
    """Keep standard output for what the program itself prints; everything else goes to its log.

    Closed streams take everything and tell nothing, so that no file can get their numbers. What an
    encoding lacks is escaped.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    out, err = sys.stdout, sys.stderr
    if out is not None:
        out.flush()
    if out is None:  # its number may be some file's by now
        own = os.open(os.devnull, os.O_WRONLY)
    else:
        own = os.dup(1)
        os.dup2(2, 1)
    encodings = [stream.encoding if stream is not None else "utf-8" for stream in (out, err)]
    _Own.stream = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(own, "w")),
        encodings[0],
        "backslashreplace",
        line_buffering=os.isatty(own),
    )
    log = io.BufferedWriter(_Log(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(log, encodings[1], "backslashreplace", line_buffering=True)
    sys.stdout = sys.stderr
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8")


@contextmanager
def printing() -> Iterator[TextIO]:
    """The output, for something to be printed on it.

    Raises:
        BrokenPipeError: whoever read it has gone.
        QuantkitError: it cannot be written, and is not tried again.
    """
    try:
        yield output()
    except BrokenPipeError:
        _drop()
        raise
    except OSError as error:
        _drop()
        raise QuantkitError(f"standard output cannot be written: {error.strerror}") from error


def _drop() -> None:
    """Let go of what cannot be written, or the interpreter would try it again at its end."""
    if _Own.stream is not None:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), _Own.stream.fileno())
