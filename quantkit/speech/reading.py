"""Reads recordings: whole audio files, or parts of them as NeMo's manifests name them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quantkit.core.errors import InputError
from quantkit.runtime.audio import SAMPLE_RATE, Array, duration_s, read_blocks
from quantkit.speech.manifest import Recording, Segment

#: By so much may a manifest's times be rounded.
_ROUNDED_S = 0.1


def read_recording(recording: Recording, sample_rate: int = SAMPLE_RATE) -> Array:
    """What is heard of a recording as mono samples, float32 [n] at `sample_rate`.

    Raises:
        InputError: see `recording_blocks`.
    """
    return np.concatenate(list(recording_blocks(recording, sample_rate)))


def recording_blocks(recording: Recording, sample_rate: int = SAMPLE_RATE) -> Iterator[Array]:
    """What is heard of a recording as consecutive blocks, float32 [n] at `sample_rate`.

    A part begins at sample floor(offset x rate) and has floor(length x rate) samples, as in NeMo.
    The file is read from its beginning up to the end of the part.

    Raises:
        InputError: the file cannot be used (see `read_blocks`), or the part lies beyond its end.
    """
    if not isinstance(recording, Segment):
        yield from read_blocks(recording, sample_rate)
        return
    start = int(recording.offset_s * sample_rate)
    wanted = None if recording.length_s is None else int(recording.length_s * sample_rate)
    passed = heard = 0
    for block in read_blocks(recording.audio, sample_rate):
        left = None if wanted is None else wanted - heard
        part = block[max(0, start - passed) :][:left]
        passed += len(block)
        heard += len(part)
        if len(part):
            yield part
        if heard == wanted:
            break
    missing = 0 if wanted is None else wanted - heard
    if heard == 0 or missing > _ROUNDED_S * sample_rate:
        raise InputError(
            f"{recording.audio}: holds {passed / sample_rate:.3f} s of audio, and a manifest's "
            f'"offset" and "duration" ask for {recording.span}'
        )


def recording_s(recording: Recording) -> float:
    """Seconds of what is heard, as header and manifest tell.

    Raises:
        InputError: the file is missing, a directory, empty, not audio or has no samples.
    """
    if not isinstance(recording, Segment):
        return duration_s(recording)
    left = max(0.0, duration_s(recording.audio) - recording.offset_s)
    return left if recording.length_s is None else min(left, recording.length_s)
