"""Tables of texts that strangers wrote: nothing in them acts on a terminal."""

from __future__ import annotations

from typing import Any

from rich import table as rich

from quantkit.core.text import printable


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
