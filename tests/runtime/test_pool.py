"""Streams of a pool say what they say alone, whoever comes and goes beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantkit.runtime.decoders.greedy import Token
from quantkit.runtime.pool import PooledStream
from quantkit.runtime.transcriber import Transcriber

Array = np.ndarray[Any, np.dtype[np.float32]]


@pytest.fixture(scope="module")
def transcriber(tiny_artifact: Path) -> Transcriber:
    return Transcriber.load(tiny_artifact, threads=1)


def alone(transcriber: Transcriber, audio: Array) -> list[Token]:
    stream = transcriber.stream()
    stream.push(audio)
    stream.flush()
    return stream.tokens


@pytest.mark.parametrize("seed", range(8))
def test_streams_that_come_and_go_are_as_alone(
    transcriber: Transcriber, speech_like: Array, seed: int
) -> None:
    """Pushes of odd sizes at odd times; the pool steps whenever it likes."""
    random = np.random.default_rng(seed)
    pool = transcriber.pool(3)
    audios = [speech_like[random.integers(30_000) :][: random.integers(40_000)] for _ in range(9)]
    coming = list(range(9))
    playing: dict[int, tuple[PooledStream, int]] = {}
    finished: dict[int, list[Token]] = {}
    ran: set[int] = set()
    while coming or playing:
        if coming and len(playing) < 3 and random.random() < 0.3:
            playing[coming.pop()] = (pool.open(), 0)
        for index, (stream, start) in list(playing.items()):
            if random.random() < 0.5:
                size = int(random.integers(1, 9000))
                stream.push(audios[index][start : start + size])
                playing[index] = (stream, start + size)
                if start + size >= len(audios[index]):
                    stream.flush()
        ran.add(pool.step())
        for index, (stream, _) in list(playing.items()):
            if stream.ended:
                while not stream.done:
                    pool.step()
                finished[index] = playing.pop(index)[0].tokens
    assert {0, 1, 2} <= ran
    assert finished == {i: alone(transcriber, audio) for i, audio in enumerate(audios)}


def test_a_step_takes_one_chunk_of_each(transcriber: Transcriber, speech_like: Array) -> None:
    pool = transcriber.pool(2)
    one, two = pool.open(), pool.open()
    one.push(speech_like)
    assert pool.step() == 1
    two.push(speech_like[:8000])
    assert pool.step() == 2
    assert len(one.waiting) > 0
    one.flush()
    two.flush()
    while pool.step():
        pass
    assert one.done
    assert two.done
    assert one.text == transcriber.vocabulary.text(t.id for t in alone(transcriber, speech_like))
    assert (one.duration_s, two.duration_s) == (3.0, 0.5)


def test_a_full_pool_opens_no_more(transcriber: Transcriber, speech_like: Array) -> None:
    pool = transcriber.pool(2)
    one, _ = pool.open(), pool.open()
    one.push(speech_like)
    with pytest.raises(ValueError, match="all 2 streams of this pool are open"):
        pool.open()
    one.close()
    assert one.done
    late = pool.open()
    late.push(speech_like)
    late.flush()
    while pool.step():
        pass
    assert late.tokens == alone(transcriber, speech_like)


def test_a_flushed_stream_takes_no_more(transcriber: Transcriber) -> None:
    stream = transcriber.pool(1).open()
    stream.flush()
    with pytest.raises(ValueError, match="flushed; open another"):
        stream.push([0.0])
