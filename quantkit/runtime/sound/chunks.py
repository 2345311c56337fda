"""Containers of chunks, each a name and a size: WAV, RF64, W64, AIFF, CAF; and AU, which has one.

Programs that stream or die leave no size, or that of a moment, of the samples; others put their
files one behind the other. libsndfile gets a header with the size of what is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from quantkit.core.errors import InputError
from quantkit.runtime.sound.pieces import Found, Part
from quantkit.runtime.sound.source import Source

#: Sizes from here on are what programs write when they do not know the length yet.
_UNKNOWN = 0x7FF00000
_MOST = 0xFFFFFFFF
#: More chunks than this before the samples are not looked at.
_MOST_CHUNKS = 10_000
#: Fewer bytes than this behind the samples are no lost speech.
_CRUMBS = 64
_WINDOW = 1 << 20

#: Chunks of words about the sound: what begins like one is one, even where its end is cut off.
_CUT = {b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"axml", b"cue ", b"smpl", b"JUNK", b"COMT"}

W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")


_Order = Literal["big", "little"]


@dataclass(frozen=True)
class _Chunk:
    """A chunk: where it, its content and the next chunk start, and the size that it says."""

    name: bytes
    start: int
    begin: int
    size: int
    next: int


class _Extent(NamedTuple):
    """How many bytes of a chunk are there, where what follows all chunks starts, what to say."""

    size: int
    end: int
    notes: tuple[str, ...] = ()


#: Reads the chunk at a place; None where none can be.
_Reader = Callable[[Source, int], _Chunk | None]


def find_wave(source: Source, start: int) -> Found:
    """WAV in either byte order, and RF64, whose sizes of 64 bits stand in a chunk before."""
    magic = source.at(start, 4)
    order: _Order = "big" if magic == b"RIFX" else "little"
    read = _riff_big if magic == b"RIFX" else _riff
    chunks = _until(source, start + 12, read, b"data")
    if not chunks or chunks[-1].name != b"data":
        return _whole(source, start)
    data = chunks[-1]
    wide = next((chunk for chunk in chunks if chunk.name == b"ds64"), None)
    if wide is not None and data.size == _MOST:
        size = int.from_bytes(source.at(wide.begin + 8, 8), "little")
        unknown = size in {0, (1 << 64) - 1, _MOST}
        data = replace(data, size=size, next=data.begin + size + size % 2)
    else:
        unknown = data.size == 0 or data.size >= _UNKNOWN
    size, end, notes = _extent(source, data, read, unknown=unknown)
    # What lies between the mark and the size of the samples; ds64 is said anew or not needed.
    between = (
        [range(start + 12, wide.start), range(wide.next, data.begin - 4)]
        if wide is not None
        else [range(start + 12, data.begin - 4)]
    )
    samples = [range(data.begin, data.begin + size)]
    after = data.begin + size + size % 2
    samples += [one for one in _later(source, after, end, read, b"data") if one]
    if len(samples) > 1 and size == 0:
        del samples[0]
    return Found([_wave(order, between, piece) for piece in samples], end, notes)


def _wave(order: _Order, between: list[range], samples: range) -> Part:
    size = len(samples)
    total = 4 + sum(map(len, between)) + 4 + size
    if total < _MOST:
        small = b"RIFX" if order == "big" else b"RIFF"
        head, last = (small, total.to_bytes(4, order), b"WAVE"), size.to_bytes(4, order)
    else:
        sizes = (total + 36).to_bytes(8, "little") + size.to_bytes(8, "little") + bytes(12)
        head, last = (b"RF64" + b"\xff" * 4, b"WAVEds64\x1c\0\0\0", sizes), b"\xff" * 4
    return Part((*head, *between, last, samples))


def find_w64(source: Source, start: int) -> Found:
    """Sony's WAV with identifiers of 16 bytes and sizes of 8, which count these 24 bytes too."""
    chunks = _until(source, start + 40, _w64, _W64_DATA)
    if not chunks or chunks[-1].name != _W64_DATA:
        return _whole(source, start)
    data = chunks[-1]
    data = replace(data, size=max(0, data.size))
    unknown = data.size == 0 or data.size >= 1 << 62
    size, end, notes = _extent(source, data, _w64, unknown=unknown)
    pieces = (
        range(start, data.begin - 8),
        (size + 24).to_bytes(8, "little"),
        range(data.begin, data.begin + size),
    )
    return Found([Part(pieces)], end, notes)


def find_aiff(source: Source, start: int) -> Found:
    """AIFF and AIFC; the sound chunk may stand before others that matter."""
    chunks = _until(source, start + 12, _riff_big, b"SSND")
    if not chunks or chunks[-1].name != b"SSND":
        return _whole(source, start)
    sound = chunks[-1]
    unknown = sound.size <= 8 or sound.size >= _UNKNOWN
    size, end, notes = _extent(source, sound, _riff_big, unknown=unknown, before=8)
    common = next((chunk for chunk in chunks if chunk.name == b"COMM"), None)
    if common is None:  # it follows the sound
        return Found([Part((range(start, end),))], end, notes)
    head = range(start + 8, sound.begin - 4)
    pieces = (
        b"FORM",
        (len(head) + 4 + size).to_bytes(4, "big"),
        head,
        size.to_bytes(4, "big"),
        range(sound.begin, sound.begin + size),
    )
    return Found([Part(pieces)], end, notes)


def find_caf(source: Source, start: int) -> Found:
    """Apple's Core Audio Format, where -1 is a size that is not known."""
    if source.at(start + 28, 4) == b"alac":
        # For a damaged one libsndfile prints to standard output, where our own lines go.
        raise InputError(f"{source.label}: is Apple Lossless (ALAC). Convert it, to FLAC say.")
    chunks = _until(source, start + 8, _caf, b"data")
    if not chunks or chunks[-1].name != b"data":
        return _whole(source, start)
    data = chunks[-1]
    size, end, notes = _extent(source, data, _caf, unknown=data.size in {0, 4, -1}, before=4)
    pieces = (
        range(start, data.begin - 8),
        size.to_bytes(8, "big"),
        range(data.begin, data.begin + size),
    )
    return Found([Part(pieces)], end, notes)


def find_au(source: Source, start: int) -> Found:
    """Sun's AU, in either byte order: a header and its samples."""
    order: _Order = "big" if source.at(start, 4) == b".snd" else "little"
    offset, said = (int.from_bytes(source.at(start + at, 4), order) for at in (4, 8))
    if offset < 24 or start + offset > source.size:
        return _whole(source, start)
    begin = start + offset
    data = _Chunk(b"data", start + 4, begin, said, begin + said)
    size, end, notes = _extent(source, data, _none, unknown=said == 0 or said >= _UNKNOWN)
    pieces = (
        range(start, start + 8),
        min(size, _MOST).to_bytes(4, order),
        range(start + 12, begin + size),
    )
    return Found([Part(pieces)], end, notes)


def only_zeros(source: Source, start: int) -> bool:
    """Whether nothing but zeros follows."""
    return all(not any(source.at(place, _WINDOW)) for place in range(start, source.size, _WINDOW))


def _whole(source: Source, start: int) -> Found:
    """A container without samples, or one that libsndfile knows better."""
    return Found([Part((range(start, source.size),))], source.size)


def _until(source: Source, place: int, read: _Reader, name: bytes) -> list[_Chunk]:
    """The chunks from a place on up to the one of that name."""
    chunks: list[_Chunk] = []
    while len(chunks) < _MOST_CHUNKS and (chunk := read(source, place)):
        chunks.append(chunk)
        if chunk.name == name:
            break
        place = chunk.next
    return chunks


def _extent(
    source: Source, data: _Chunk, read: _Reader, *, unknown: bool, before: int = 0
) -> _Extent:
    """How far the samples reach; `before` is how many bytes of their chunk are none.

    Raises:
        InputError: fewer are there than the chunk's size, which does not stand for unknown.
    """
    there = source.size - data.begin
    if not unknown:
        return _known_extent(source, data, read, there)
    if not 0 <= data.size <= before:
        return _Extent(there, source.size)
    end = _after_chunks(source, data.begin + before, read)
    if end == source.size:  # other chunks follow, or nothing: there is no sound
        return _Extent(min(before, there), end)
    note = (
        f"has a header that was never completed: it promises no samples; the {there - before} "
        f"bytes that follow are heard"
    )
    return _Extent(there, source.size, (note,))


def _known_extent(source: Source, data: _Chunk, read: _Reader, there: int) -> _Extent:
    if data.size > there:
        raise InputError(
            f"{source.label}: is truncated: its header promises {data.size} bytes of samples, "
            f"{there} are there. Copy the file again."
        )
    close = data.begin + data.size
    left = source.size - close
    end = close if _is_start(source, close) else _after_chunks(source, data.next, read)
    if end == data.next > close:  # some leave the byte out that makes an odd size even
        end = max(end, _after_chunks(source, close, read))
    if end > data.next or left <= _CRUMBS or _is_start(source, end):
        return _Extent(data.size, end)
    if only_zeros(source, close):
        return _Extent(data.size, source.size)
    note = (
        f"has a header that promises {data.size} bytes of samples; {left} more follow and are "
        f"heard as well"
    )
    return _Extent(there, source.size, (note,))


def _after_chunks(source: Source, place: int, read: _Reader) -> int:
    """Where the chunks from a place on end: at what is no chunk, or at the end of the file."""
    for _ in range(_MOST_CHUNKS):
        chunk = None if _is_start(source, place) else read(source, place)
        if chunk is None:
            break
        if chunk.next > source.size + 1:
            return source.size if chunk.name in _CUT else place
        place = chunk.next
    return min(place, source.size)


def _later(source: Source, place: int, end: int, read: _Reader, name: bytes) -> list[range]:
    """The contents of further chunks of a name."""
    found: list[range] = []
    while place < end and len(found) < _MOST_CHUNKS and (chunk := read(source, place)):
        if chunk.name == name:
            found.append(range(chunk.begin, min(chunk.begin + chunk.size, end)))
        place = chunk.next
    return found


def _is_start(source: Source, place: int) -> bool:
    """Whether another file starts here, or a tag."""
    starts = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"FORM", b"caff", b".snd", b"dns.")
    return source.at(place, 4).startswith((*starts, b"fLaC", b"OggS", b"ID3", b"TAG", b"APET"))


def _none(_: Source, __: int) -> _Chunk | None:
    return None


def _riff(source: Source, place: int) -> _Chunk | None:
    return _small(source, place, "little")


def _riff_big(source: Source, place: int) -> _Chunk | None:
    return _small(source, place, "big")


def _small(source: Source, place: int, order: _Order) -> _Chunk | None:
    head = source.at(place, 8)
    if len(head) < 8 or not _is_name(head[:4]):
        return None
    size = int.from_bytes(head[4:], order)
    return _Chunk(head[:4], place, place + 8, size, place + 8 + size + size % 2)


def _caf(source: Source, place: int) -> _Chunk | None:
    head = source.at(place, 12)
    if len(head) < 12 or not _is_name(head[:4]):
        return None
    size = int.from_bytes(head[4:], "big", signed=True)
    return _Chunk(head[:4], place, place + 12, size, place + 12 + max(0, size))


def _w64(source: Source, place: int) -> _Chunk | None:
    head = source.at(place, 24)
    if len(head) < 24 or not _is_name(head[:4]):
        return None
    size = int.from_bytes(head[16:], "little", signed=True) - 24
    return _Chunk(head[:16], place, place + 24, size, place + 24 + max(0, -(-size // 8) * 8))


def _is_name(name: bytes) -> bool:
    return all(0x20 <= byte < 0x7F for byte in name)
