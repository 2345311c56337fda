"""One recording of a file, and what walking its container found."""

from __future__ import annotations

from dataclasses import dataclass

from quantkit.runtime.sound.pieces import Piece


@dataclass(frozen=True)
class Part:
    """A recording: the bytes that libsndfile gets, and what is known of its length.

    `promised` is how many samples a channel has by a header that libsndfile is not shown, None if
    there is none; so many as `spare` may be missing. `claim` is the size that libsndfile is told,
    0 for the true one. `headerless` is the encoding of a file that has no header, 8 kHz mono.
    """

    pieces: tuple[Piece, ...]
    promised: int | None = None
    spare: int = 0
    claim: int = 0
    headerless: str | None = None


@dataclass(frozen=True)
class Found:
    """The parts that start at a place, where the last one ends, and what is to be said of them."""

    parts: list[Part]
    end: int
    notes: tuple[str, ...] = ()
