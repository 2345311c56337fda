"""Ogg: chained streams are taken link by link, and no page may be missing or damaged."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from quantkit.core.errors import InputError
from quantkit.runtime.sound.pieces import Found, Part
from quantkit.runtime.sound.source import Source

_HEADER = 27
_FIRST, _LAST = 2, 4
_CHECKSUM = slice(22, 26)
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class _Page:
    start: int
    size: int
    flags: int
    serial: int
    number: int
    granule: int

    @property
    def end(self) -> int:
        return self.start + self.size


def find(source: Source, start: int) -> Found:
    """The links of the Ogg stream at `start`.

    Raises:
        InputError: a page is damaged or missing.
    """
    parts: list[Part] = []
    link, place = start, start
    # The number of each logical stream's next page; unknown until sound comes, since what was
    # recorded from a live stream has its headers and then whatever was sent at the time.
    open_serials: dict[int, int | None] = {}
    body = False
    while page := _page(source, place):
        if page.flags & _FIRST:
            if body:  # pages of another link follow
                _refuse_unended(source, open_serials)
                parts.append(Part((range(link, place),)))
                link, body = place, False
        else:
            body = True
            expected = open_serials.get(page.serial)
            if expected is not None and page.number != expected:
                raise InputError(
                    f"{source.label}: is damaged: of its Ogg pages number {expected} is not there. "
                    f"Copy the file again."
                )
        open_serials[page.serial] = page.number + 1 if page.granule > 0 else None
        if page.flags & _LAST:
            del open_serials[page.serial]
        place = page.end
    _refuse_unended(source, open_serials)
    return Found([*parts, Part((range(link, place),))], place)


def _page(source: Source, start: int) -> _Page | None:
    """The page at a place, None if no page starts there."""
    head = source.at(start, _HEADER)
    if len(head) < _HEADER or head[:4] != b"OggS":
        return None
    lacing = source.at(start + _HEADER, head[26])
    size = _HEADER + head[26] + sum(lacing)
    whole = source.at(start, size)
    if len(whole) < size:
        raise _truncated(source)
    if _checksum(whole) != int.from_bytes(head[_CHECKSUM], "little"):
        raise InputError(
            f"{source.label}: is damaged: the Ogg page at byte {start} does not have the checksum "
            f"that it says. Copy the file again."
        )
    serial, number = (int.from_bytes(head[at : at + 4], "little") for at in (14, 18))
    granule = int.from_bytes(head[6:14], "little", signed=True)
    return _Page(start, size, head[5], serial, number, granule)


def _refuse_unended(source: Source, open_serials: dict[int, int | None]) -> None:
    if open_serials:
        raise _truncated(source)


def _truncated(source: Source) -> InputError:
    return InputError(
        f"{source.label}: is truncated: its last Ogg page is not there. Copy it again."
    )


def _checksum(page: bytes) -> int:
    """Ogg's CRC-32, which takes the bits of a byte the other way round than zlib's."""
    blank = page[: _CHECKSUM.start] + bytes(4) + page[_CHECKSUM.stop :]
    found = zlib.crc32(blank.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{found:032b}"[::-1], 2)
