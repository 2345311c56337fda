"""Playing files: many through the slots of a pool, or one as late as from a microphone."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantkit.core.errors import InputError
from quantkit.runtime.audio import AudioBlocks, read_blocks
from quantkit.runtime.pool import PooledStream, StreamPool


@dataclass
class PlayedFile:
    """A file on its way through a stream.

    `index` is its place among the files, `error` why it could not be read to its end, if so.
    """

    index: int
    stream: PooledStream
    blocks: AudioBlocks
    error: InputError | None = None
    began: float = field(default_factory=time.perf_counter)

    @property
    def elapsed_s(self) -> float:
        """Seconds since it started."""
        return time.perf_counter() - self.began

    def feed(self) -> None:
        """Read on until a chunk is complete or the file has ended."""
        while not (self.stream.waiting or self.stream.ended):
            try:
                block = next(self.blocks, None)
            except InputError as error:
                self.error = error
                self.stream.close()
            else:
                self.stream.flush() if block is None else self.stream.push(block)


def play(
    paths: Sequence[Path], pool: StreamPool, slots: int, sample_rate: int
) -> Iterator[PlayedFile]:
    """Play files through a pool with that many free slots; yield each when it is done."""
    coming = enumerate(paths)
    playing: list[PlayedFile] = []
    while True:
        for index, path in itertools.islice(coming, slots - len(playing)):
            playing.append(PlayedFile(index, pool.open(), read_blocks(path, sample_rate)))
        if not playing:
            return
        for file in playing:
            file.feed()
        pool.step()
        yield from (file for file in playing if file.stream.done)
        playing = [file for file in playing if not file.stream.done]


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
