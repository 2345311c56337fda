"""Where things are printed, and text that is rewritten while it is decoded."""

from __future__ import annotations

import codecs
import json
import shutil
import sys
from typing import Any

from rich import table as rich
from rich.console import Console

from quantkit.cli.streams import output, printing
from quantkit.core.text import brief, one_line, printable, printable_json

#: Columns that a table may take in a pipe or a log.
LOG_WIDTH = 132


class Table(rich.Table):
    """A table of rich whose title, heads and cells are printable; `show` reads no markup."""

    def __init__(self, title: str | None = None, **settings: Any) -> None:
        super().__init__(title=title and printable(title), **settings)

    def add_column(self, header: str, **settings: Any) -> None:  # type: ignore[override]
        """Add a column."""
        super().add_column(printable(header), **settings)

    def add_row(self, *cells: str) -> None:  # type: ignore[override]
        """Add a row."""
        super().add_row(*map(printable, cells))


class Screen(Console):
    """Standard output for what is drawn, which fails as `printing` does."""

    def __init__(self, *, width: int | None = None) -> None:
        super().__init__(file=output(), width=width, markup=False, emoji=False)

    def print(self, *objects: Any, **how: Any) -> None:
        with printing():
            super().print(*objects, **how)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def messages() -> Console:
    """Where progress and errors go: standard error."""
    return Console(stderr=True, markup=False, emoji=False)


def say(text: str, end: str = "\n") -> None:
    """Print a line on standard output, at once."""
    _write(printable(text) + end)


def say_json(value: Any, indent: int | None = None) -> None:
    """Print JSON on standard output, with what its encoding may lack escaped as JSON does."""
    utf8 = codecs.lookup(output().encoding or "utf-8").name == "utf-8"
    _write(printable_json(json.dumps(value, ensure_ascii=not utf8, indent=indent)) + "\n")


def show(table: Table) -> None:
    """Print a table on standard output."""
    # Where nobody watches lines may be long, which rich cannot know.
    Screen(width=None if Screen().is_terminal else LOG_WIDTH).print(table)


def complain(message: str) -> None:
    """Say on standard error what went wrong."""
    print(f"quantkit: {brief(printable(message))}", file=sys.stderr, flush=True)


class Partial:
    """The tail of a growing text, rewritten in place; nothing where there is no terminal."""

    def __init__(self, *, wanted: bool) -> None:
        self.shown = wanted and output().isatty()

    def show(self, text: str) -> None:
        """Replace what is shown by the last part of the text that fits on one line."""
        if self.shown:
            width = shutil.get_terminal_size().columns - 1
            _write(f"\r\x1b[K{one_line(text)[-width:]}")

    def clear(self) -> None:
        """Leave the line empty for what comes next."""
        if self.shown:
            _write("\r\x1b[K")


def _write(text: str) -> None:
    with printing() as stream:
        stream.write(text)
        stream.flush()
