"""Which recordings two sets of speech share, by what is heard in them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache

import numpy as np

from quantkit.speech.manifest import Recording, Segment, file_of
from quantkit.speech.reading import recording_blocks, recording_s

#: The length of an MP3 may be a guess, which a copy of it in another format need not share.
_SAME_LENGTH_S = 0.2
_FULL_SCALE = 2**23


def samples_digest(recording: Recording) -> str:
    """SHA-256 of a recording as a model hears it: mono, 16 kHz, 24 bits.

    Files of one recording in several lossless formats have the same digest, the decoded copies of
    evaluation suites among them.

    Raises:
        InputError: the file cannot be used.
    """
    digest = hashlib.sha256()
    for block in recording_blocks(recording):
        steps = np.rint(block * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1)
        digest.update(steps.astype(np.int32).tobytes())
    return digest.hexdigest()


def shared_recordings(
    first: Sequence[Recording], second: Sequence[Recording]
) -> list[tuple[Recording, Recording]]:
    """The pairs, one of each set, that hold the same samples or parts of a file that overlap.

    Raises:
        InputError: a file cannot be used.
    """
    # Decoding takes long, and only what lasts equally long can be the same.
    seconds, digest = cache(recording_s), cache(samples_digest)
    ours, theirs = (
        [(recording, seconds(recording), seconds(file_of(recording))) for recording in recordings]
        for recordings in (first, second)
    )
    return [
        (recording, other)
        for recording, length, whole in ours
        for other, other_length, other_whole in theirs
        if (abs(length - other_length) < _SAME_LENGTH_S and digest(recording) == digest(other))
        or (
            abs(whole - other_whole) < _SAME_LENGTH_S
            and _overlap(recording, other)
            and digest(file_of(recording)) == digest(file_of(other))
        )
    ]


def _overlap(one: Recording, other: Recording) -> bool:
    """Whether one or both are parts, of which the times overlap."""
    if not isinstance(one, Segment) and not isinstance(other, Segment):
        return False
    (start, end), (other_start, other_end) = _span(one), _span(other)
    return start < other_end and other_start < end


def _span(recording: Recording) -> tuple[float, float]:
    if not isinstance(recording, Segment):
        return 0.0, np.inf
    start, length = recording.offset_s, recording.length_s
    return start, np.inf if length is None else start + length
