"""Progress as an interface, so that rooms report it without knowing who draws it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Draws the progress of one loop."""

    def track(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:
        """Yield the items.

        `total` is their number, 0 where that shows at the end; `what` are the words beside the bar.
        """
        ...


class Silent:
    """Draws nothing: for libraries and tests."""

    def track(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:  # noqa: ARG002
        yield from items
