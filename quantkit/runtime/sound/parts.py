"""The recordings in a file: one, or as many as somebody joined."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from quantkit.core.errors import InputError
from quantkit.runtime.sound import chunks, flac, mpeg, ogg
from quantkit.runtime.sound.pieces import Found, Part
from quantkit.runtime.sound.source import Source
from quantkit.runtime.sound.tags import after_tags

#: Formats without a header, which only a suffix tells: telephony's.
_HEADERLESS = {".gsm": "GSM610", ".vox": "VOX_ADPCM"}
#: How many samples a NIST SPHERE file says that it has.
_SPHERE_COUNT = re.compile(rb"\nsample_count -i (\d{1,18})\s")
#: So many bytes after a recording are nothing worth saying: what padding and closing marks take.
_CRUMBS = 64
#: More recordings than this in one file are an attack on whoever reads it.
_MOST_PARTS = 10_000


class _Kind(NamedTuple):
    """A container: how its bytes start, what further bytes say, and who walks it."""

    magic: bytes
    at_8: tuple[bytes, ...]
    find: Callable[[Source, int], Found]


_KINDS = (
    _Kind(b"RIFF", (b"WAVE",), chunks.find_wave),
    _Kind(b"RIFX", (b"WAVE",), chunks.find_wave),
    _Kind(b"RF64", (b"WAVE",), chunks.find_wave),
    _Kind(b"BW64", (b"WAVE",), chunks.find_wave),
    _Kind(chunks.W64_RIFF[:8], (chunks.W64_RIFF[8:12],), chunks.find_w64),
    _Kind(b"FORM", (b"AIFF", b"AIFC"), chunks.find_aiff),
    _Kind(b"caff", (b"desc",), chunks.find_caf),
    _Kind(b".snd", (), chunks.find_au),
    _Kind(b"dns.", (), chunks.find_au),
    _Kind(b"fLaC", (), flac.find),
    _Kind(b"OggS", (), ogg.find),
)


def find_parts(source: Source) -> tuple[list[Part], list[str]]:
    """The recordings of a file in their order, and what its headers get wrong, in words.

    Raises:
        InputError: the file is truncated or damaged, or no format that is read.
    """
    place = after_tags(source, 0)
    find = _kind_at(source, place)
    if find is None:
        return [_unwalked(source)], []
    parts: list[Part] = []
    notes: list[str] = []
    while find is not None:
        found = find(source, place)
        parts += found.parts
        notes += found.notes
        if found.end <= place:  # what looked like a recording is none, or its first bytes only
            break
        place = after_tags(source, found.end)
        find = _kind_at(source, place)
        if len(parts) > _MOST_PARTS:
            raise InputError(
                f"{source.label}: is more than {_MOST_PARTS} recordings joined. Split the file."
            )
    left = source.size - place
    if left > _CRUMBS and not chunks.only_zeros(source, place):
        notes.append(f"ends with {left} bytes that are no audio of a known kind: not heard")
    if len(parts) > 1:
        notes.append(f"is {len(parts)} recordings joined: all are heard")
    return parts, notes


def _kind_at(source: Source, place: int) -> Callable[[Source, int], Found] | None:
    head = source.at(place, 12)
    for kind in _KINDS:
        if head.startswith(kind.magic) and (not kind.at_8 or head[8:12] in kind.at_8):
            return kind.find
    return mpeg.find if mpeg.starts(source, place) else None


def _unwalked(source: Source) -> Part:
    """A format whose structure is not known here: libsndfile knows it, or nobody."""
    head, suffix = source.at(0, 4), source.name.suffix.lower()
    if head[:2] == b"\xf0\x7e":
        raise InputError(
            f"{source.label}: is a MIDI sample dump (SDS), which holds no speech. Convert it first."
        )
    whole = range(source.size)
    if head == b"NIST":
        count = _SPHERE_COUNT.search(source.at(0, 1024))
        return Part((whole,), promised=int(count[1]) if count else None)
    if suffix in _HEADERLESS and not (suffix == ".gsm" and head[:1] and head[0] >> 4 != 0xD):
        return Part((whole,), headerless=_HEADERLESS[suffix])
    return Part((whole,))
