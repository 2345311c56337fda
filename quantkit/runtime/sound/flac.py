"""FLAC: libFLAC reads to the end if the header does not say where that is."""

from __future__ import annotations

from quantkit.runtime.sound.pieces import Found, Part
from quantkit.runtime.sound.source import Source
from quantkit.runtime.sound.tags import before_tags

#: The mark, and the header of its first block, STREAMINFO of 34 bytes, last block or not.
_STARTS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")
#: Where STREAMINFO has, below 4 bits of sample size, 36 bits with the number of samples.
_TOTAL = 21
_WINDOW = 1 << 20


def find(source: Source, start: int) -> Found:
    """The FLAC stream at `start`, up to the next one or the end."""
    end = _next(source, start + 4)
    last = before_tags(source, start, end)
    field = source.at(start + _TOTAL, 5)
    total = int.from_bytes(field, "big") & 0xF_FFFF_FFFF
    unknown = bytes([field[0] & 0xF0, 0, 0, 0, 0]) if len(field) == 5 else field
    pieces = (
        range(start, start + _TOTAL),
        unknown,
        range(start + _TOTAL + len(field), last),
    )
    return Found([Part(pieces, promised=total or None)], end)


def _next(source: Source, place: int) -> int:
    """Where another stream starts, or the end of the file."""
    overlap = len(_STARTS[0]) - 1
    while place < source.size:
        window = source.at(place, _WINDOW)
        found = [at for start in _STARTS if (at := window.find(start)) >= 0]
        if found:
            return place + min(found)
        place += max(1, len(window) - overlap)
    return source.size
