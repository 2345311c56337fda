"""MPEG audio (MP3), which has no header for the whole: frames stand one behind the other.

The first frame may be none: encoders put the number of frames there, and what to leave out at both
ends. A file with such frames in its middle is several files joined. Without one the length is
guessed from the file's size and the first frame's: a size is claimed from which none is too short.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from quantkit.core.errors import InputError
from quantkit.runtime.sound.pieces import Found, Part, Piece
from quantkit.runtime.sound.source import Source
from quantkit.runtime.sound.tags import after_tags

#: kbit/s by index, of MPEG-1 in layers I to III, and of MPEG-2 and 2.5.
_RATES_1 = (
    (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
)
_RATES_2 = (
    (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_SAMPLE_RATES = (44100, 48000, 32000)
_SYNC = re.compile(rb"\xff[\xe0-\xff]")
#: Bytes in a row that are no frames, up to which the next frame is looked for.
_MOST_JUNK = 1 << 20
_WINDOW = 1 << 13
#: A frame more or less than the first one says is how encoders count.
_MISCOUNT = 1
_MONO = 3


@dataclass(frozen=True)
class _Frame:
    """A frame's first bytes: its version (3 is MPEG-1, 2, or 0 for 2.5), layer 1 to 3, sizes."""

    version: int
    layer: int
    sample_rate: int
    mono: bool
    size: int

    @property
    def samples(self) -> int:
        """Samples of a channel."""
        if self.layer == 1:
            return 384
        return 576 if self.layer == 3 and self.version != 3 else 1152

    @property
    def kind(self) -> tuple[int, int, int, bool]:
        """What all frames of a stream have in common."""
        return self.version, self.layer, self.sample_rate, self.mono

    @property
    def count_at(self) -> int:
        """Where the word Xing or Info stands, after what a frame says of its channels."""
        return 4 + ((17 if self.mono else 32) if self.version == 3 else (9 if self.mono else 17))


@dataclass
class _Stream:
    """Frames of a kind, as ranges of bytes; the first frame, and whether it has the count."""

    first: _Frame
    start: int
    counted: bool
    frames: int = 0
    largest: int = 0
    ranges: list[range] = field(default_factory=list)

    def add(self, start: int, size: int) -> None:
        self.frames += 1
        self.largest = max(self.largest, size)
        if self.ranges and self.ranges[-1].stop == start:
            self.ranges[-1] = range(self.ranges[-1].start, start + size)
        else:
            self.ranges.append(range(start, start + size))

    @property
    def claim(self) -> int:
        """A size in bytes from which nobody guesses too few frames."""
        return 2 * (self.frames + 2) * self.largest


def starts(source: Source, place: int) -> bool:
    """Whether frames start at a place, or soon after it in a file that is named as MP3."""
    if source.name.suffix.lower() == ".mp3" and place < source.size:
        found = _resync(source, place, None)
        return found is not None
    frame = _frame(source.at(place, 4))
    return frame is not None and _goes_on(source, place, frame)


def find(source: Source, start: int) -> Found:
    """The streams of frames from `start` on.

    Raises:
        InputError: fewer frames are there than a stream says that it has.
    """
    streams: list[_Stream] = []
    place = start
    junk = 0
    while place < source.size:
        head = source.at(place, 64)
        frame = _frame(head)
        last = streams[-1] if streams else None
        strange = frame and (last is None or frame.kind != last.first.kind)
        if frame is None or (strange and not _goes_on(source, place, frame)):
            after = after_tags(source, place)
            if after == place:
                found = _resync(source, place, last.first if last else None)
                if found is None:
                    break
                junk += found - place
                after = found
            if junk > _MOST_JUNK:
                break
            place = after
            continue
        if place + frame.size > source.size:
            break
        counted = _has_count(frame, head)
        if last is None or counted or frame.kind != last.first.kind:
            last = _Stream(frame, place, counted)
            streams.append(last)
        last.add(place, frame.size)
        place += frame.size
    notes = [f"has {junk} bytes between its MP3 frames that are none: left out"] if junk else []
    parts = []
    for stream in streams:
        part, note = _part(source, stream)
        parts += [part] if part else []
        notes += [note] if note else []
    return Found(parts, place, tuple(notes))


def _frame(head: bytes) -> _Frame | None:
    """The frame whose first 4 bytes these are."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate, sampling, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or rate in {0, 15} or sampling == 3:
        return None
    bits = 1000 * (_RATES_1 if version == 3 else _RATES_2)[layer - 1][rate]
    sample_rate = _SAMPLE_RATES[sampling] >> {3: 0, 2: 1, 0: 2}[version]
    if layer == 1:
        size = (12 * bits // sample_rate + padding) * 4
    else:
        size = (72 if layer == 3 and version != 3 else 144) * bits // sample_rate + padding
    return _Frame(version, layer, sample_rate, head[3] >> 6 == _MONO, size)


def _goes_on(source: Source, place: int, frame: _Frame) -> bool:
    """Whether the file ends with this frame, or one of its kind follows it, or a tag."""
    after = place + frame.size
    if after > source.size:
        return False
    head = source.at(after, 4)
    following = _frame(head)
    if following is not None:
        return following.kind == frame.kind
    return not head or head.startswith((b"ID3", b"TAG", b"APET"))


def _resync(source: Source, place: int, like: _Frame | None) -> int | None:
    """Where, from a place on, the next frame is that others follow."""
    for start in range(place, min(place + _MOST_JUNK, source.size), _WINDOW):
        window = source.at(start, _WINDOW + 3)
        for match in _SYNC.finditer(window):
            at = match.start()
            frame = _frame(window[at : at + 4])
            if frame is None or (like and frame.kind != like.kind):
                continue
            if _goes_on(source, start + at, frame):
                return start + at
    return None


def _has_count(frame: _Frame, head: bytes) -> bool:
    """Whether this is the frame that says how many follow."""
    return frame.layer == 3 and head[frame.count_at : frame.count_at + 4] in {b"Xing", b"Info"}


def _part(source: Source, stream: _Stream) -> tuple[Part | None, str | None]:
    """A stream as libsndfile is to see it, so that it reads all frames that are there."""
    first = stream.first
    frames = stream.frames - stream.counted
    if frames == 0:
        return None, None
    spare = 2 * first.samples
    if not stream.counted:
        return Part(tuple(stream.ranges), frames * first.samples, spare, stream.claim), None
    place = stream.start + first.count_at
    flags = int.from_bytes(source.at(place + 4, 4), "big")
    said = int.from_bytes(source.at(place + 8, 4), "big") if flags & 1 else 0
    note = None
    if said > frames + _MISCOUNT:
        raise InputError(
            f"{source.label}: is truncated: its header promises {said} MP3 frames, {frames} are "
            f"there. Copy the file again."
        )
    if 0 < said < frames - _MISCOUNT:
        note = (
            f"has a header that promises {said * first.samples / first.sample_rate:.2f} s; "
            f"{frames * first.samples / first.sample_rate:.2f} s are there and heard"
        )
    if not flags & 1:  # the frame of a count without a count
        body = (range(stream.start + first.size, stream.ranges[0].stop), *stream.ranges[1:])
        return Part(body, frames * first.samples, spare, stream.claim), None
    # The sizes are said anew, since libsndfile takes their word for it.
    sizes: list[Piece] = [frames.to_bytes(4, "big")]
    after = place + 12
    if flags & 2:
        sizes.append(sum(map(len, stream.ranges)).to_bytes(4, "big"))
        after += 4
    body = (range(after, stream.ranges[0].stop), *stream.ranges[1:])
    pieces = (range(stream.start, place + 8), *sizes, *body)
    # How much the encoder added at both ends, and a decoder leaves out, is said in 24 bits.
    return Part(pieces, frames * first.samples, spare + 2 * 4096), note
