"""Pacing: audio from a file arrives as late as it would from a microphone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray


def paced(
    pieces: Iterable[NDArray[np.float32]],
    sample_rate: int,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[NDArray[np.float32]]:
    """Yield each piece of audio, shape [n], when its last sample would have been spoken.

    A consumer that falls behind gets the next pieces at once: the schedule does not slip.
    """
    start = clock()
    samples = 0
    for piece in pieces:
        samples += len(piece)
        early = start + samples / sample_rate - clock()
        if early > 0:
            sleep(early)
        yield piece
