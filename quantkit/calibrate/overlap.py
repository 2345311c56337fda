"""Which recordings two sets of speech share, by what is heard in them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from quantkit.stream.audio import duration_s, read_blocks

#: The length of an MP3 may be a guess, which a copy of it in another format need not share.
_SAME_LENGTH_S = 0.2
_FULL_SCALE = 2**23


def samples_digest(recording: Path) -> str:
    """SHA-256 of a recording as a model hears it: mono, 16 kHz, 24 bits.

    Files of one recording in several lossless formats have the same digest, the decoded copies of
    evaluation suites among them.

    Raises:
        InputError: the file cannot be used.
    """
    digest = hashlib.sha256()
    for block in read_blocks(recording):
        steps = np.rint(block * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1)
        digest.update(steps.astype(np.int32).tobytes())
    return digest.hexdigest()


def shared_recordings(first: Sequence[Path], second: Sequence[Path]) -> list[tuple[Path, Path]]:
    """The pairs of files, one of each set, that hold the same samples.

    Raises:
        InputError: a file cannot be used.
    """
    # Decoding takes long, and only what lasts equally long can be the same.
    lengths = [(path, duration_s(path)) for path in second]
    digest = cache(samples_digest)
    return [
        (path, other)
        for path, seconds in [(path, duration_s(path)) for path in first]
        for other, other_seconds in lengths
        if abs(seconds - other_seconds) < _SAME_LENGTH_S and digest(path) == digest(other)
    ]
