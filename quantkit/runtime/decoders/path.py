"""The path of a greedy transducer search through frames and prediction states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def greedy_path(
    frames: int, token_frames: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Frame and prediction state of every decision: the tokens of a frame, then its blank.

    Args:
        frames: encoder frames of the utterance.
        token_frames: non-decreasing, the frame that emitted each token.

    Returns:
        Two int64 arrays [frames + tokens]; the state is the number of tokens emitted before.
    """
    emitted = np.bincount(np.asarray(token_frames, dtype=np.int64), minlength=frames)
    rows = np.repeat(np.arange(frames), emitted + 1)
    return rows, np.arange(len(rows)) - rows
