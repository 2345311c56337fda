from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quantkit.runtime.audio import read_audio
from quantkit.runtime.mel import LogMel, hann_window, slaney_filters
from quantkit.runtime.sizes import MelSettings

Array = NDArray[np.float32]

CLIPS = Path(__file__).parents[2] / "calibration" / "asterisk-parity"
MEL = MelSettings(512, 400, 160, 128, 0.97, 2.0**-24, 0.0, 8000.0)


def whole(audio: Array) -> Array:
    mel = LogMel(MEL, 16_000)
    return np.concatenate([mel.push(audio), mel.flush()])


def in_pieces(audio: Array, sizes: list[int]) -> Array:
    mel = LogMel(MEL, 16_000)
    frames: list[Array] = []
    start = 0
    while start < len(audio):
        size = sizes[len(frames) % len(sizes)]
        frames.append(mel.push(audio[start : start + size]))
        start += size
    return np.concatenate([*frames, mel.flush()])


@pytest.fixture(scope="module")
def preprocessor() -> Any:
    """NeMo's own front end in evaluation mode."""
    pytest.importorskip("nemo")
    from nemo.collections.asr.modules import AudioToMelSpectrogramPreprocessor

    return AudioToMelSpectrogramPreprocessor(
        sample_rate=16000, normalize="NA", window_size=0.025, window_stride=0.01, window="hann",
        features=128, n_fft=512, frame_splicing=1, dither=0.0, pad_to=0,
    ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def nemo(preprocessor: Any) -> Callable[..., Array]:
    """NeMo's features [frames, mels] of a whole signal; `exact` runs its FFT in float64."""
    import torch

    featurizer = preprocessor.featurizer
    single = featurizer.stft

    def double(x: Any) -> Any:
        return torch.stft(
            x.double(), n_fft=512, hop_length=160, win_length=400, center=True,
            window=featurizer.window.double(), return_complex=True, pad_mode="constant",
        )  # fmt: skip

    def features(audio: Array, *, exact: bool = False) -> Array:
        featurizer.stft = double if exact else single
        signal = torch.from_numpy(audio)[None]
        frames, _ = preprocessor(input_signal=signal, length=torch.tensor([len(audio)]))
        result: Array = frames[0].T.float().numpy()
        return result

    return features


def tone(hertz: float) -> Array:
    return (0.9 * np.sin(2 * np.pi * hertz * np.arange(16_000) / 16_000)).astype(np.float32)


def test_filter_bank_and_window_are_nemos(preprocessor: Any) -> None:
    featurizer = preprocessor.featurizer
    filters = slaney_filters(16_000, 512, 128, 0.0, 8000.0)
    np.testing.assert_allclose(filters, featurizer.fb[0].numpy(), rtol=0, atol=1e-7)
    np.testing.assert_allclose(hann_window(400), featurizer.window.numpy(), rtol=0, atol=6e-8)


@pytest.mark.parametrize(
    "name", ["speech_like", "silence", "quiet", "hum", "whistle", "loud", "constant"]
)
def test_frames_are_nemos_but_for_the_rounding_of_its_fft(
    name: str, nemo: Callable[..., Array], speech_like: Array
) -> None:
    random = np.random.default_rng(1)
    audio = {
        "speech_like": speech_like,
        "silence": np.zeros(16_000, np.float32),
        "quiet": (random.normal(size=16_000) * 1e-4).astype(np.float32),
        "hum": tone(50.0),
        "whistle": tone(5000.0),
        "loud": random.normal(size=16_000).clip(-1, 1).astype(np.float32),
        "constant": np.ones(16_000, np.float32),
    }[name]
    ours, theirs, exact = whole(audio), nemo(audio), nemo(audio, exact=True)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).mean(axis=1).max() < 1e-4
    assert np.abs(ours - exact).mean(axis=1).max() < 5e-5
    # NeMo's single-precision FFT is itself this far from the truth in the faintest mels.
    rounding = np.abs(theirs - exact).max()
    assert np.abs(ours - exact).max() < max(rounding, 1e-4)


def test_frames_of_real_speech_are_nemos(nemo: Callable[..., Array]) -> None:
    """Each frame's mean is within 1e-4; no value errs more than NeMo's own rounding does."""
    for path in sorted(CLIPS.glob("*.flac"))[:8]:
        audio = read_audio(path)
        ours, theirs, exact = whole(audio), nemo(audio), nemo(audio, exact=True)
        assert np.abs(ours - theirs).mean(axis=1).max() < 1e-4, path.name
        assert np.abs(ours - exact).max() < max(np.abs(theirs - exact).max(), 1e-4), path.name


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 199, 200, 320, 360, 399, 400, 401, 25_000])
def test_ends_like_nemo_at_any_length(
    samples: int, nemo: Callable[..., Array], speech_like: Array
) -> None:
    audio = speech_like[4000 : 4000 + samples]
    ours, theirs = whole(audio), nemo(audio)
    assert ours.shape == theirs.shape == (samples // 160 + 1, 128)
    assert np.abs(ours - theirs).mean(axis=1).max() < 1e-4
    assert not ours[-1].any()


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9000), st.lists(st.integers(1, 3000), min_size=1, max_size=12), st.integers(0, 9)
)
def test_cuts_change_nothing(length: int, sizes: list[int], seed: int) -> None:
    audio = np.random.default_rng(seed).normal(size=length).astype(np.float32) * 0.1
    np.testing.assert_array_equal(in_pieces(audio, sizes), whole(audio))


def test_single_samples_change_nothing(speech_like: Array) -> None:
    audio = speech_like[:3000]
    np.testing.assert_array_equal(in_pieces(audio, [1]), whole(audio))


def test_long_audio_in_one_piece_is_the_same(speech_like: Array) -> None:
    audio = np.tile(speech_like, 5)
    np.testing.assert_array_equal(in_pieces(audio, [12_345]), whole(audio))


def test_a_frame_comes_with_the_sample_that_completes_it() -> None:
    mel = LogMel(MEL, 16_000)
    assert len(mel.push(np.ones(199))) == 0
    assert len(mel.push(np.ones(1))) == 1
    assert len(mel.push(np.ones(159))) == 0
    assert len(mel.push(np.ones(1))) == 1


def test_flush_starts_a_new_stream(speech_like: Array) -> None:
    mel = LogMel(MEL, 16_000)
    first = np.concatenate([mel.push(speech_like), mel.flush()])
    assert mel.flush().shape == (0, 128)
    second = np.concatenate([mel.push(speech_like), mel.flush()])
    np.testing.assert_array_equal(first, second)


def test_two_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(10, 2\)"):
        LogMel(MEL, 16_000).push(np.zeros((10, 2)))
