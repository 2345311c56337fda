from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from numpy.typing import NDArray

from quantkit.runtime.encoders.chunks import Chunk, ChunkWindows
from quantkit.runtime.settings import SCHEMA, StreamingSettings

Array = NDArray[np.float32]


def numbered(frames: int, settings: StreamingSettings) -> Array:
    """Frames that carry their own number, from 1."""
    rows = np.arange(1, frames + 1, dtype=np.float32)[:, None]
    return np.repeat(rows, settings.mel.n_mels, axis=1)


def by_definition(frames: Array, settings: StreamingSettings) -> list[tuple[Array, int]]:
    """Windows cut out of the whole matrix, as the graph contract states them."""
    factor, right = settings.subsampling_factor, settings.right_context
    windows: list[tuple[Array, int]] = []
    end = index = 0
    while True:
        start = index * settings.chunk_frames - settings.leading_frames
        new = len(frames) - end
        if new < (1 if index == 0 else factor):
            return windows
        end = min(len(frames), start + settings.window_frames)
        window = np.zeros((1, settings.window_frames, frames.shape[1]), np.float32)
        rows = np.arange(max(start, 0), end)
        window[0, rows - start] = frames[rows]
        windows.append((window, end - start))
        assert index > 0 or end <= 1 + factor * right
        index += 1


def cut(frames: Array, settings: StreamingSettings, sizes: list[int]) -> list[Chunk]:
    windows = ChunkWindows(settings)
    chunks, start, turn = [], 0, 0
    while start < len(frames):
        size = sizes[turn % len(sizes)]
        chunks += windows.push(frames[start : start + size])
        start, turn = start + size, turn + 1
    return chunks + windows.flush()


def same(found: list[Chunk], expected: list[tuple[Array, int]]) -> None:
    assert [chunk.length for chunk in found] == [length for _, length in expected]
    for chunk, (window, _) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(chunk.features, window)


@pytest.mark.parametrize("frames", [0, 1, 7, 8, 9, 16, 17, 48, 49, 50, 56, 57, 104, 105, 113, 200])
def test_windows_are_the_contracts(frames: int, settings: StreamingSettings) -> None:
    matrix = numbered(frames, settings)
    same(cut(matrix, settings, [1000]), by_definition(matrix, settings))


@examples(max_examples=40, deadline=None)
@given(
    right=st.sampled_from([0, 1, 6, 13]),
    frames=st.integers(0, 300),
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=8),
)
def test_cuts_change_nothing(right: int, frames: int, sizes: list[int]) -> None:
    settings = make_settings(right)
    matrix = numbered(frames, settings)
    same(cut(matrix, settings, sizes), by_definition(matrix, settings))


def make_settings(right: int) -> StreamingSettings:
    mel = {"n_fft": 8, "window_length": 8, "hop_length": 4, "n_mels": 3, "preemphasis": 0.97,
           "log_guard": 1e-7, "f_min": 0.0, "f_max": 8000.0}  # fmt: skip
    return StreamingSettings.from_dict({
        "schema": SCHEMA, "sample_rate": 16000, "mel": mel, "subsampling_factor": 8,
        "left_context": 70, "right_context": right, "chunk_frames": 8 * (right + 1),
        "window_frames": 17 + 8 * right,
        "leading_frames": 16, "encoder_frame_s": 0.002, "chunk_s": 0.002 * (right + 1),
        "algorithmic_latency_s": 0.0, "latency_definition": "",
        "encoder": {"dim": 8, "layers": 1, "heads": 1, "conv_cache": 8},
        "predictor": {"layers": 1, "hidden": 8},
        "vocabulary_size": 5, "blank_id": 5, "max_symbols": 10,
    })  # fmt: skip


def test_windows_are_not_changed_by_later_frames(settings: StreamingSettings) -> None:
    windows = ChunkWindows(settings)
    (first,) = windows.push(numbered(settings.window_frames - 16, settings))
    before = first.features.copy()
    windows.push(numbered(500, settings))
    np.testing.assert_array_equal(first.features, before)


def test_flush_starts_a_new_stream(settings: StreamingSettings) -> None:
    windows = ChunkWindows(settings)
    matrix = numbered(130, settings)
    same(windows.push(matrix) + windows.flush(), by_definition(matrix, settings))
    assert windows.flush() == []
    same(windows.push(matrix) + windows.flush(), by_definition(matrix, settings))


@pytest.mark.parametrize("right", [0, 1, 6, 13])
@pytest.mark.parametrize("frames", [1, 9, 49, 56, 57, 105, 113, 160, 161, 168])
def test_new_frames_are_those_of_nemos_buffer(right: int, frames: int) -> None:
    """NeMo's own iterator over the same frames: which are new in each chunk, and which dropped."""
    streaming_utils = pytest.importorskip("nemo.collections.asr.parts.utils.streaming_utils")
    torch = pytest.importorskip("torch")
    settings = make_settings(right)
    matrix = numbered(frames, settings)
    buffer = streaming_utils.CacheAwareStreamingAudioBuffer.__new__(
        streaming_utils.CacheAwareStreamingAudioBuffer
    )
    chunk = [1 + 8 * right, 8 + 8 * right]
    config = {"chunk_size": chunk, "shift_size": chunk, "pre_encode_cache_size": [0, 9]}
    buffer.streaming_cfg = type("StreamingConfig", (), config)
    buffer.pad_and_drop_preencoded = buffer.online_normalization = False
    buffer.sampling_frames, buffer.input_features = [1, 8], 3
    buffer.buffer = torch.from_numpy(matrix.T.copy())[None]
    buffer.streams_length = torch.tensor([frames])
    buffer.buffer_idx = buffer.step = 0
    theirs = [part[0].T.numpy()[: int(length)] for part, length in buffer]
    ours = cut(matrix, settings, [1000])
    assert len(ours) == len(theirs)
    for mine, their in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine.features[0, : mine.length][-len(their) :], their)
