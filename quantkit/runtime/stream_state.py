"""One stream from its samples to its text: all but the encoder, which streams may share."""

from __future__ import annotations

import warnings
from collections import deque

from numpy.typing import ArrayLike

from quantkit.runtime.decoders.greedy import Hypothesis, Token
from quantkit.runtime.decoders.transducer import Prediction
from quantkit.runtime.encoders.chunks import Chunk, ChunkWindows
from quantkit.runtime.mel import LogMel
from quantkit.runtime.samples import LARGEST, as_floats
from quantkit.runtime.settings import StreamingSettings
from quantkit.runtime.tokens import Spelling, Vocabulary


class StreamWarning(UserWarning):
    """A stream goes on, but not all that it was given is heard."""


class StreamState:
    """Samples become chunks, which wait for the encoder, and `hypothesis` becomes text.

    `replaced_samples` counts the samples that were made silent, `lost_frames` the encoder frames
    that were not decoded since they were not finite; a `StreamWarning` tells of the first.
    """

    def __init__(
        self,
        settings: StreamingSettings,
        vocabulary: Vocabulary,
        hypothesis: Hypothesis[Prediction],
    ) -> None:
        self.waiting: deque[Chunk] = deque()
        self.hypothesis = hypothesis
        self.ended = False
        self.replaced_samples = 0
        self.lost_frames = 0
        self._spelling = Spelling(vocabulary)
        self._spelled = 0
        self._sample_rate = settings.sample_rate
        self._mel = LogMel(settings.mel, settings.sample_rate)
        self._windows = ChunkWindows(settings)
        self._frame_s = settings.encoder_frame_s
        self._samples = 0

    @property
    def tokens(self) -> list[Token]:
        """The tokens so far."""
        return self.hypothesis.tokens

    @property
    def text(self) -> str:
        """The text so far."""
        coming = self.tokens[self._spelled :]
        self._spelling.add(token.id for token in coming)
        self._spelled += len(coming)
        return self._spelling.text

    @property
    def duration_s(self) -> float:
        """Seconds of audio taken so far."""
        return self._samples / self._sample_rate

    def take(self, samples: ArrayLike) -> None:
        """Take mono samples at the artifact's rate, [n] of any n.

        Floats have a full scale of 1; int8, int16, int32 and uint8 are scaled by their range.
        Samples that are not finite or far beyond any recording are taken as silence and counted;
        see `quantkit.runtime.samples`.

        Raises:
            TypeError: the samples are of a type that is no sound, or whose range is not known.
            ValueError: the samples are not one-dimensional, or the stream has ended.
        """
        if self.ended:
            raise ValueError("this stream was flushed; open another")
        audio, replaced = as_floats(samples)
        if replaced:
            self._tell_of_silence(replaced)
        self.waiting += self._windows.push(self._mel.push(audio))
        self._samples += len(audio)

    def lose(self, frames: int) -> None:
        """Leave out the next frames, whose encoding is not finite; the encoder starts anew."""
        if not self.lost_frames:
            at_s = self.hypothesis.frames * self._frame_s
            warnings.warn(
                f"the encoder's {frames} frames from {at_s:.2f} s of a stream on are not finite: "
                f"they are left out and its caches emptied (lost_frames counts on)",
                StreamWarning,
                stacklevel=2,
            )
        self.lost_frames += frames
        self.hypothesis.frames += frames

    def end(self) -> None:
        """End the stream: no samples follow."""
        if not self.ended:
            self.ended = True
            self.waiting += self._windows.push(self._mel.flush())
            self.waiting += self._windows.flush()

    def _tell_of_silence(self, replaced: int) -> None:
        if not self.replaced_samples:
            warnings.warn(
                f"samples that are not finite or beyond {LARGEST:.0f} (full scale is 1) are taken "
                f"as silence: {replaced} of those given after {self.duration_s:.2f} s of a stream "
                f"(replaced_samples counts on)",
                StreamWarning,
                stacklevel=4,
            )
        self.replaced_samples += replaced
