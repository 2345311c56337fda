"""Where things are printed, and text that is rewritten while it is decoded."""

from __future__ import annotations

import shutil
import sys

from rich.console import Console
from rich.table import Table

#: Columns that a table may take in a pipe or a log.
LOG_WIDTH = 132


def messages() -> Console:
    """Where progress and errors go: standard error."""
    return Console(stderr=True)


def show(table: Table) -> None:
    """Print a table on standard output."""
    # Where nobody watches lines may be long, which rich cannot know.
    Console(width=None if Console().is_terminal else LOG_WIDTH).print(table)


def complain(message: str) -> None:
    """Say on standard error what went wrong."""
    print(f"quantkit: {message}", file=sys.stderr, flush=True)


class Partial:
    """The tail of a growing text, rewritten in place; nothing where there is no terminal."""

    def __init__(self, *, wanted: bool) -> None:
        self.shown = wanted and sys.stdout is not None and sys.stdout.isatty()

    def show(self, text: str) -> None:
        """Replace what is shown by the last part of the text that fits on one line."""
        if self.shown:
            width = shutil.get_terminal_size().columns - 1
            sys.stdout.write(f"\r\x1b[K{text[-width:]}")
            sys.stdout.flush()

    def clear(self) -> None:
        """Leave the line empty for what comes next."""
        if self.shown:
            sys.stdout.write("\r\x1b[K")
            sys.stdout.flush()
