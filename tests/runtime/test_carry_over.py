"""What a stream carries from one piece of audio to the next, on the fp32 demo model."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.soak import growth
from quantkit.runtime.audio import read_audio
from quantkit.runtime.decoders.greedy import GreedyDecoder, Token
from quantkit.runtime.encoders.cache_aware import EncoderStep
from quantkit.runtime.encoders.chunks import Chunk, ChunkWindows
from quantkit.runtime.mel import LogMel
from quantkit.runtime.transcriber import Transcriber
from quantkit.speech.manifest import read_manifest

pytestmark = pytest.mark.slow

Array = NDArray[np.float32]

# Float32 rounding through the encoder; outputs are layer-normed, so of magnitude 1 to 10. The
# order of summation changes with the place of a frame in the ring.
ROUNDING = 1e-4
CHUNK, HOP = 8960, 160


@pytest.fixture(scope="module")
def transcriber(demo_artifact: Path) -> Transcriber:
    return Transcriber.load(demo_artifact, threads=1)


@pytest.fixture(scope="module")
def speech(parity_manifest: Path) -> Array:
    """A minute of it, clip after clip."""
    clips = [read_audio(utterance.audio) for utterance in read_manifest(parity_manifest)[:20]]
    return np.concatenate(clips)[: 60 * 16_000]


@pytest.fixture(scope="module")
def whole(transcriber: Transcriber, speech: Array) -> list[Token]:
    """The tokens of the first 2.5 chunks."""
    tokens = run(transcriber, [speech[: 5 * CHUNK // 2]])
    assert len(tokens) > 4
    return tokens


def run(transcriber: Transcriber, pieces: list[Array]) -> list[Token]:
    stream = transcriber.stream()
    for piece in pieces:
        stream.push(piece)
    stream.flush()
    return stream.tokens


@examples(max_examples=40, deadline=None)
@given(
    sizes=st.lists(
        st.sampled_from([0, 1, HOP - 1, HOP, CHUNK]) | st.integers(0, CHUNK), max_size=80
    )
)
def test_pieces_of_any_size_give_the_same_tokens(
    transcriber: Transcriber, speech: Array, whole: list[Token], sizes: list[int]
) -> None:
    """Single samples and empty pieces included; what the sizes leave comes in one piece."""
    pieces = np.split(speech[: 5 * CHUNK // 2], np.minimum(np.cumsum(sizes), 5 * CHUNK // 2))
    assert run(transcriber, pieces) == whole


def test_a_cut_anywhere_in_a_chunk_gives_the_same_tokens(
    transcriber: Transcriber, speech: Array, whole: list[Token]
) -> None:
    """In the second chunk: at every sample of a hop, and at every hop."""
    first = CHUNK + HOP // 2
    for cut in [*range(first, first + HOP), *range(first, first + CHUNK, HOP)]:
        pieces = np.split(speech[: 5 * CHUNK // 2], [cut])
        assert run(transcriber, pieces) == whole, cut


def windows(transcriber: Transcriber, samples: Array) -> list[Chunk]:
    """What the encoder sees of the samples' complete chunks."""
    settings = transcriber.settings
    return ChunkWindows(settings).push(LogMel(settings.mel, settings.sample_rate).push(samples))


@pytest.mark.parametrize("rounds", [2**31 // 77, 2**53 // 77, 2**62 // 77])
def test_the_counter_of_frames_may_run_for_ever(
    transcriber: Transcriber, speech: Array, rounds: int
) -> None:
    """It is int64: 2^31 frames are five years, 2^63 the age of the universe and more.

    A multiple of the ring's 77 rows later the caches mean the same, wherever the counter is.
    """
    chunks = windows(transcriber, speech[: 14 * CHUNK])
    step = EncoderStep(transcriber.encoder, transcriber.settings)
    for chunk in chunks[:-1]:
        step.step(chunk)
    caches = step.caches()
    assert caches["cache_length"].dtype == np.int64
    assert caches["cache_length"] == 7 * (len(chunks) - 1) > 77
    feeds = {"features": chunks[-1].features, "length": np.array([chunks[-1].length])}
    names = [node.name for node in transcriber.encoder.get_outputs()]
    now = transcriber.encoder.run(names, feeds | caches)
    caches["cache_length"] = caches["cache_length"] + 77 * rounds
    later = transcriber.encoder.run(names, feeds | caches)
    for name, expected, found in zip(names, now, later, strict=True):
        shift = 77 * rounds if name == "cache_length_next" else 0
        np.testing.assert_array_equal(found, expected + shift if shift else expected)


def test_twenty_minutes_neither_drift_nor_grow(transcriber: Transcriber, speech: Array) -> None:
    """A minute of speech and ten seconds of silence, again and again, as from a microphone.

    Such a block is 125 chunks, and eight layers with 70 frames of left context hear less than 46
    seconds: from the second block on the encoder has to say the same. Every block starts 28 rows
    further in the rings of 77, so that sums are rounded differently, until after eleven blocks it
    is the same row, and the same bits. What is said is not kept, so memory has to stay as it is.
    """
    block = np.concatenate([speech, np.zeros(10 * 16_000, np.float32)])
    assert len(block) == 125 * CHUNK
    settings = transcriber.settings
    mel, cutter = LogMel(settings.mel, settings.sample_rate), ChunkWindows(settings)
    step = EncoderStep(transcriber.encoder, transcriber.settings)
    decoder = GreedyDecoder(transcriber.transducer, settings.max_symbols)
    hypothesis = decoder.start()
    second: list[Array] = []
    errors, resident, step_s, tokens = [], [], [], []
    for number in range(18):
        chunk_errors: list[float] = []
        taken = []
        for start in range(0, len(block), 1600):
            for chunk in cutter.push(mel.push(block[start : start + 1600])):
                # Of this process alone: the machine may have other work.
                began = time.process_time()
                encoded = step.step(chunk)
                taken.append(time.process_time() - began)
                decoder.extend([hypothesis], encoded, [encoded.shape[1]])
                if number == 1:
                    second.append(encoded)
                elif number > 1:
                    chunk_errors.append(float(np.abs(encoded - second[len(chunk_errors)]).max()))
        assert len(taken) == 125
        errors.append(max(chunk_errors, default=0.0))
        resident.append(psutil.Process().memory_info().rss)
        step_s.append(np.median(taken))
        tokens.append([(token.id, token.frame - 125 * 7 * number) for token in hypothesis.tokens])
        hypothesis.tokens.clear()
    assert max(errors) < ROUNDING
    assert errors[1 + 11] == 0
    assert len(tokens[1]) > 200
    assert all(said == tokens[1] for said in tokens[1:])
    assert not growth(resident[9:]).beyond_noise
    assert np.median(step_s[-5:]) < 1.5 * np.median(step_s[1:6])
