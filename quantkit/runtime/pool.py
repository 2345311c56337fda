"""Many streams through one encoder, a chunk of each at a time."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from numpy.typing import ArrayLike, NDArray

from quantkit.runtime.decoders.greedy import GreedyDecoder
from quantkit.runtime.decoders.transducer import Prediction, Transducer
from quantkit.runtime.encoders.slots import EncoderSlots
from quantkit.runtime.settings import StreamingSettings
from quantkit.runtime.stream_state import StreamState
from quantkit.runtime.tokens import Vocabulary

Array = NDArray[np.float32]


class PooledStream(StreamState):
    """One stream of a pool: takes samples at any time; tokens come with the pool's steps."""

    def push(self, samples: ArrayLike) -> None:
        """Take mono samples at the artifact's rate, [n] of any n; see `StreamState.take`.

        Raises:
            TypeError: the samples are of a type that is no sound, or whose range is not known.
            ValueError: the samples are not one-dimensional, or the stream has ended.
        """
        self.take(samples)

    def flush(self) -> None:
        """End the stream; the pool's next steps decode what is left of it."""
        self.end()

    def close(self) -> None:
        """End the stream and drop what of it is not decoded yet."""
        self.end()
        self.waiting.clear()

    @property
    def done(self) -> bool:
        """Whether the stream has ended and all of it is decoded."""
        return self.ended and not self.waiting


class StreamPool:
    """Streams that are independent of each other and share the encoder's steps.

    Open streams fill the first slots of the encoder's batch. Before a step those with a chunk
    change places with those without: moving caches takes less time than encoding nothing.
    A pool, with its streams, is for one thread.
    """

    def __init__(
        self,
        settings: StreamingSettings,
        vocabulary: Vocabulary,
        encoder: ort.InferenceSession,
        transducer: Transducer,
        slots: int,
    ) -> None:
        self._settings = settings
        self._vocabulary = vocabulary
        self._encoder = EncoderSlots(encoder, settings, slots)
        self._decoder: GreedyDecoder[Prediction] = GreedyDecoder(transducer, settings.max_symbols)
        self._slots = slots
        self._streams: list[PooledStream] = []

    def open(self) -> PooledStream:
        """A new stream, in a slot until it is done.

        Raises:
            ValueError: all slots are taken.
        """
        self._close_done()
        if len(self._streams) == self._slots:
            raise ValueError(f"all {self._slots} streams of this pool are open; flush one first")
        stream = PooledStream(self._settings, self._vocabulary, self._decoder.start())
        self._encoder.clear(len(self._streams))
        self._streams.append(stream)
        return stream

    def step(self) -> int:
        """Encode and decode one chunk of every stream that has one; return how many had."""
        self._close_done()
        streams = self._streams[: self._bring_forward()]
        if streams:
            chunks = [stream.waiting.popleft() for stream in streams]
            encoded, lengths = self._encoder.step(chunks)
            if not np.isfinite(encoded).all():
                self._lose(streams, encoded, lengths)
            self._decoder.extend([stream.hypothesis for stream in streams], encoded, lengths)
        return len(streams)

    def _lose(self, streams: list[PooledStream], encoded: Array, lengths: list[int]) -> None:
        """Start those streams anew whose frames are not finite, and leave these frames out."""
        for slot, stream in enumerate(streams):
            if not np.isfinite(encoded[slot, : lengths[slot]]).all():
                stream.lose(lengths[slot])
                self._encoder.clear(slot)
                lengths[slot] = 0

    def _bring_forward(self) -> int:
        """Bring the streams with a chunk into the first slots; return how many there are."""
        ready = [bool(stream.waiting) for stream in self._streams]
        count = sum(ready)
        idle = [slot for slot in range(count) if not ready[slot]]
        late = [slot for slot in range(count, len(ready)) if ready[slot]]
        for a, b in zip(idle, late, strict=True):
            self._swap(a, b)
        return count

    def _close_done(self) -> None:
        """Free the slots of streams that are done, the last stream taking the place of each."""
        for slot in reversed(range(len(self._streams))):
            if self._streams[slot].done:
                self._swap(slot, len(self._streams) - 1)
                self._streams.pop()

    def _swap(self, a: int, b: int) -> None:
        if a != b:
            self._encoder.swap(a, b)
            self._streams[a], self._streams[b] = self._streams[b], self._streams[a]
