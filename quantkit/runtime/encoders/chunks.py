"""Collects mel frames into the windows that one encoder step sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantkit.runtime.settings import StreamingSettings

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Chunk:
    """One encoder step's input: `features` float32 [1, window_frames, n_mels], zero past `length`.

    `length` counts the valid rows from the window's first row, leading rows included.
    """

    features: Array
    length: int


class ChunkWindows:
    """Cuts a stream of mel frames into overlapping windows.

    Window n holds mel frames n * chunk_frames - leading_frames and the window_frames - 1 after it;
    rows before frame 0 are zeros. NeMo's `CacheAwareStreamingAudioBuffer` sees the same frames.
    """

    def __init__(self, settings: StreamingSettings) -> None:
        self._settings = settings
        self.reset()

    def reset(self) -> None:
        """Forget all frames: the next one is the first of a stream."""
        self._window = self._empty()
        self._old = self._filled = self._settings.leading_frames
        self._minimum = 1

    def push(self, frames: Array) -> list[Chunk]:
        """Take frames, float32 [n, n_mels] of any n, and return the windows they complete."""
        chunks = []
        taken = 0
        rows = self._settings.window_frames
        while taken < len(frames):
            count = min(rows - self._filled, len(frames) - taken)
            self._window[0, self._filled : self._filled + count] = frames[taken : taken + count]
            self._filled += count
            taken += count
            if self._filled == rows:
                chunks.append(Chunk(self._window, rows))
                self._advance()
        return chunks

    def flush(self) -> list[Chunk]:
        """End the stream: return its last, short window if there is one, and start anew.

        Like NeMo, a first chunk needs one new frame, a later one enough for an encoder frame
        (the subsampling factor); fewer are dropped.
        """
        enough = self._filled - self._old >= self._minimum
        chunks = [Chunk(self._window, self._filled)] if enough else []
        self.reset()
        return chunks

    def _empty(self) -> Array:
        shape = (1, self._settings.window_frames, self._settings.mel.n_mels)
        return np.zeros(shape, dtype=np.float32)

    def _advance(self) -> None:
        overlap = self._settings.window_frames - self._settings.chunk_frames
        window = self._empty()
        window[0, :overlap] = self._window[0, -overlap:]
        self._window = window
        self._old = self._filled = overlap
        self._minimum = self._settings.subsampling_factor
