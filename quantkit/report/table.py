"""A table of a report, before Markdown or HTML gives it a form."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: what the column holds, with its unit.
        group: stands above neighbouring columns that share it.
        text: holds words, not numbers, and is aligned like them.
        code: holds digests, which Markdown makes no links of.
    """

    title: str
    group: str = ""
    text: bool = False
    code: bool = False


@dataclass(frozen=True)
class Table:
    """Formatted cells under their heads; the first cell of a row names it.

    Attributes:
        caption: what the rows and numbers are.
        columns: of every row, as many as its cells.
        rows: without any, the table is not shown.
        absent: the sentence that is shown in its place.
        flagged: indices of rows that need attention.
    """

    caption: str
    columns: list[Column]
    rows: list[list[str]]
    absent: str = ""
    flagged: frozenset[int] = frozenset()

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The upper row of heads with the columns that each spans; empty if there are none."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if spans and column.group and spans[-1][0] == column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return spans if any(group for group, _ in spans) else []
