"""Progress of stages: bars with elapsed and remaining time, or plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from quantkit.core.progress import Progress
from quantkit.core.text import one_line

T = TypeVar("T")

#: Seconds between two lines about one loop when the output is not a terminal.
LINE_EVERY_S = 10.0


class StageProgress(Progress, Protocol):
    """Draws stages and the loops inside them."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """A context that lasts as long as the stage runs."""
        ...

    def cached(self, name: str) -> None:
        """Say that a stage's result was in the store."""
        ...

    def say(self, line: str) -> None:
        """Say something about a stage, before it runs."""
        ...


def progress_on(console: Console) -> StageProgress:
    """Bars on a terminal, lines in a pipe or a log."""
    return TerminalProgress(console) if console.is_terminal else LineProgress(console)


class LineProgress:
    """One line when a stage begins and ends, and one every few seconds inside its loops."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        self.say(f"{name}: running")
        yield
        self.say(f"{name}: done in {_duration(time.monotonic() - began)}")

    def cached(self, name: str) -> None:
        self.say(f"{name}: cached")

    def track(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:
        began = said = time.monotonic()
        for done, item in enumerate(items, start=1):
            yield item
            now = time.monotonic()
            if now - said >= LINE_EVERY_S and (total == 0 or done < total):
                said, elapsed = now, now - began
                of = f"/{total}" if total else ""
                left = elapsed / done * (total - done)
                remaining = f", {_duration(left)} remaining" if total else ""
                self.say(f"  {what}: {done}{of}, {_duration(elapsed)} elapsed{remaining}")

    def say(self, line: str) -> None:
        self._console.print(
            one_line(line), markup=False, emoji=False, highlight=False, soft_wrap=True
        )


class TerminalProgress:
    """A spinner with the elapsed time for each stage, a bar for each loop inside it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Bars | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        with Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        ) as bars:
            bars.add_task(name, total=None)
            self._bars = bars
            try:
                yield
            finally:
                self._bars = None
        self._line(name, _duration(time.monotonic() - began))

    def cached(self, name: str) -> None:
        self._line(name, "cached")

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def track(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:
        bars = self._bars
        if bars is None:
            with self.stage(what):
                yield from self.track(items, total, what)
            return
        task = bars.add_task(f"  {what}", total=total or None)
        for item in items:
            yield item
            bars.advance(task)
        bars.remove_task(task)

    def _line(self, name: str, words: str) -> None:
        done = Text.assemble(("✓", "green"), f" {one_line(name):<10} ", (words, "dim"))
        self._console.print(done)


def _duration(seconds: float) -> str:
    """`1.2 s` below a minute, `2:05` above."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
