"""What a set is read from, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from quantkit.speech.cache import Speech, Unusable
from quantkit.speech.manifest import Segment


@dataclass(frozen=True)
class Row:
    """An utterance as its source has it.

    Attributes:
        id: names it within the source.
        text: what is said; None where nobody wrote it down.
        language: a code of any form; None where the source does not tell.
        speech: decoded, or why it is not.
        segment: the part of a file that it is, if it is one.
    """

    id: str
    text: str | None
    language: str | None
    speech: Speech | Unusable
    segment: Segment | None = None


@dataclass(frozen=True)
class Source:
    """An opened source.

    Attributes:
        name: as reports name it.
        revision: the commit of a data set of the hub.
        count: the number of its rows; 0 where that shows at the end.
        rows: decoded when they are asked for.
    """

    name: str
    revision: str | None
    count: int
    rows: Iterator[Row]
