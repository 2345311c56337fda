"""What will be published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rich.box import SIMPLE_HEAD

from quantkit.cli.show.table import Table


class File(Protocol):
    """A file as it will be on the hub."""

    @property
    def name(self) -> str: ...
    @property
    def bytes(self) -> int: ...
    @property
    def sha256(self) -> str: ...


def files_table(files: Sequence[File]) -> Table:
    """Each file with its size and digest."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("file")
    table.add_column("bytes", justify="right")
    table.add_column("sha256", overflow="fold")
    for file in files:
        table.add_row(file.name, f"{file.bytes:,}", file.sha256)
    return table
