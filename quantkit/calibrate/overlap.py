"""Which recordings two sets of speech share, by what is heard in them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from quantkit.stream.audio import duration_s, read_blocks

#: The length of an MP3 may be a guess, which a copy of it in another format need not share.
_SAME_LENGTH_S = 0.2


def samples_digest(recording: Path) -> str:
    """SHA-256 of a recording as a model hears it: mono, 16 kHz, float32.

    Files of one recording in several lossless formats have the same digest.

    Raises:
        InputError: the file cannot be used.
    """
    digest = hashlib.sha256()
    for block in read_blocks(recording):
        digest.update(block.tobytes())
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
