"""One stream from its samples to its text: all but the encoder, which streams may share."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantkit.stream.chunks import Chunk, ChunkWindows
from quantkit.stream.greedy import Hypothesis, Token
from quantkit.stream.mel import LogMel
from quantkit.stream.settings import StreamingSettings
from quantkit.stream.tokens import Vocabulary
from quantkit.stream.transducer import Prediction


class Track:
    """Samples become chunks, which wait for the encoder, and `hypothesis` becomes text."""

    def __init__(
        self,
        settings: StreamingSettings,
        vocabulary: Vocabulary,
        hypothesis: Hypothesis[Prediction],
    ) -> None:
        self.waiting: deque[Chunk] = deque()
        self.hypothesis = hypothesis
        self.ended = False
        self._vocabulary = vocabulary
        self._sample_rate = settings.sample_rate
        self._mel = LogMel(settings.mel, settings.sample_rate)
        self._windows = ChunkWindows(settings)
        self._samples = 0

    @property
    def tokens(self) -> list[Token]:
        """The tokens so far."""
        return self.hypothesis.tokens

    @property
    def text(self) -> str:
        """The text so far."""
        return self._vocabulary.text(token.id for token in self.tokens)

    @property
    def duration_s(self) -> float:
        """Seconds of audio taken so far."""
        return self._samples / self._sample_rate

    def take(self, samples: ArrayLike) -> None:
        """Take mono samples at the artifact's rate, [n] of any n.

        Raises:
            ValueError: the samples are not one-dimensional, or the stream has ended.
        """
        if self.ended:
            raise ValueError("this stream was flushed; open another")
        audio: NDArray[np.float32] = np.asarray(samples, dtype=np.float32)
        self.waiting += self._windows.push(self._mel.push(audio))
        self._samples += len(audio)

    def end(self) -> None:
        """Take it that no samples follow."""
        if not self.ended:
            self.ended = True
            self.waiting += self._windows.push(self._mel.flush())
            self.waiting += self._windows.flush()
