"""What a file is read as: pieces of its bytes, and the recordings made of them."""

from __future__ import annotations

import io
import itertools
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from quantkit.core.errors import InputError
from quantkit.runtime.sound.source import Source

#: Bytes, or where they lie in the source.
Piece = bytes | range
#: What a tag takes at the end of an MP3.
_TAG = 128


class PiecesFile(io.RawIOBase):
    """The pieces one after the other, to be read by libsndfile.

    `claim` is a size to tell instead of the true one if it is larger; its last bytes read as zeros,
    for who looks for a tag there, and those before as the end. libsndfile's calls cannot raise
    through it: what goes wrong is in `error`, and reads as the end too.
    """

    def __init__(self, source: Source, pieces: Sequence[Piece], claim: int = 0) -> None:
        self._source = source
        self._pieces = [piece for piece in pieces if len(piece)]
        self._starts = [0, *itertools.accumulate(map(len, self._pieces))]
        self._size = max(self._starts[-1], claim)
        self._place = 0
        self.error: InputError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer; fewer bytes are read at the end only."""
        if self._size - _TAG <= self._place < self._size and self._size > self._starts[-1]:
            done = min(len(buffer), self._size - self._place)
            buffer[:done] = bytes(done)
            self._place += done
            return done
        done = 0
        while done < len(buffer) and self._place < self._starts[-1]:
            index = bisect_right(self._starts, self._place) - 1
            piece, inside = self._pieces[index], self._place - self._starts[index]
            count = min(len(buffer) - done, len(piece) - inside)
            try:
                found = self._take(piece, inside, count)
            except InputError as error:
                self.error = error
                return done
            if not found:  # the file was cut while it is read
                return done
            buffer[done : done + len(found)] = found
            done += len(found)
            self._place += len(found)
        return done

    def _take(self, piece: Piece, start: int, count: int) -> bytes:
        if isinstance(piece, bytes):
            return piece[start : start + count]
        return self._source.at(piece.start + start, count)


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
