from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from quantkit.core.errors import InputError
from quantkit.runtime.audio import AudioWarning, duration_s, read_audio, read_blocks

Array = NDArray[np.float32]
ROOT = Path(__file__).parents[2]


def noise(samples: int, channels: int = 1) -> Array:
    random = np.random.default_rng(samples)
    return (random.normal(size=(samples, channels)) * 0.1).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_channel_count(tmp_path: Path, rate: int, channels: int) -> None:
    audio = noise(rate + 321, channels)
    path = tmp_path / "a.wav"
    soundfile.write(path, audio, rate, subtype="FLOAT")
    mono = audio.mean(axis=1)
    expected = mono if rate == 16_000 else soxr.resample(mono, rate, 16_000)
    found = read_audio(path)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize("block_s", [0.0001, 0.013, 0.5, 60.0])
def test_blocks_join_to_the_whole(tmp_path: Path, block_s: float) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(20_000, 2), 44_100)
    blocks = list(read_blocks(path, block_s=block_s))
    np.testing.assert_array_equal(np.concatenate(blocks), read_audio(path))


@pytest.mark.parametrize("level", [0.0, 0.5, 0.9])
def test_an_mp3_is_the_same_in_pieces(tmp_path: Path, level: float) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, noise(50_000), 16_000, compression_level=level)
    whole, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_allclose(read_audio(path), whole, atol=1e-6)


def test_an_mp3_without_a_header_is_read_to_its_end(capfd: pytest.CaptureFixture[str]) -> None:
    path = ROOT / "calibration" / "game-calibration" / "020001P2.mp3"
    assert soundfile.info(path).frames > 67 * 576, "libsndfile guesses more than there is"
    assert len(read_audio(path, 11_025)) == 67 * 576
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "ULAW"])
def test_integer_samples_become_fractions_of_one(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "a.wav"
    audio = noise(4000)[:, 0]
    soundfile.write(path, audio, 16_000, subtype=subtype)
    np.testing.assert_allclose(read_audio(path), audio, atol=0.02)


def test_one_sample_is_enough(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1), 16_000)
    assert len(read_audio(tmp_path / "a.wav")) == 1
    soundfile.write(tmp_path / "b.wav", noise(1), 48_000)
    assert len(read_audio(tmp_path / "b.wav")) <= 1


def test_unknown_length_in_a_header_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "piped.wav"
    soundfile.write(path, noise(5000), 16_000)
    content = bytearray(path.read_bytes())
    size = content.index(b"data") + 4
    content[size : size + 4] = b"\xff" * 4
    path.write_bytes(content)
    assert len(read_audio(path)) == 5000


@pytest.mark.parametrize("kind", ["wav", "aiff", "au", "flac", "ogg", "mp3"])
def test_truncated_files_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, noise(80_000), 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=rf"a\.{kind}: is (damaged or )?truncated"):
        read_audio(path)


def test_paths_without_audio_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.wav: no such audio file"):
        read_audio(tmp_path / "absent.wav")
    with pytest.raises(InputError, match="is a directory"):
        read_audio(tmp_path)
    (tmp_path / "empty.wav").touch()
    with pytest.raises(InputError, match=r"empty\.wav: is empty \(0 bytes\)"):
        read_audio(tmp_path / "empty.wav")
    (tmp_path / "text.wav").write_text("this is not audio\n" * 10)
    with pytest.raises(InputError, match=r"text\.wav: cannot be read as audio \(.*WAV, FLAC"):
        read_audio(tmp_path / "text.wav")
    soundfile.write(tmp_path / "silent.wav", noise(0), 16_000)
    with pytest.raises(InputError, match="has a header but no samples"):
        read_audio(tmp_path / "silent.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e20, -40_000.0])
def test_samples_that_are_not_sound_are_silent(tmp_path: Path, value: float) -> None:
    """At a rate of its own, since a resampler would spread them."""
    audio: Any = noise(40_000, 2)
    audio[24_000, 1] = value
    soundfile.write(tmp_path / "a.wav", audio, 48_000, subtype="FLOAT")
    blocks = read_blocks(tmp_path / "a.wav")
    with pytest.warns(AudioWarning, match="has samples .*: 1 are taken as silence") as said:
        found = np.concatenate(list(blocks))
    assert len(said) == 1
    assert blocks.replaced_samples == 1
    audio[24_000, 1] = 0
    soundfile.write(tmp_path / "b.wav", audio, 48_000, subtype="FLOAT")
    np.testing.assert_array_equal(found, read_audio(tmp_path / "b.wav"))


def test_loud_samples_are_heard_without_a_word(tmp_path: Path) -> None:
    """Float recorders go beyond full scale, and some programs leave 16-bit integers unscaled."""
    audio = noise(1000)[:, 0] * 1000
    audio[5] = -32_768
    soundfile.write(tmp_path / "a.wav", audio, 16_000, subtype="FLOAT")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_audio(tmp_path / "a.wav"), audio)


def test_channels_that_cancel_are_noticed(tmp_path: Path) -> None:
    audio = noise(32_000)[:, 0]
    soundfile.write(tmp_path / "a.wav", np.stack([audio, -audio], axis=1), 16_000, subtype="FLOAT")
    with pytest.warns(AudioWarning, match=r"a\.wav: has channels that cancel .* for 2\.0 s"):
        assert not read_audio(tmp_path / "a.wav").any()


def test_channels_of_which_one_is_silent_do_not_cancel(tmp_path: Path) -> None:
    audio = noise(32_000)[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for other in (audio, 0 * audio):
            soundfile.write(tmp_path / "a.wav", np.stack([audio, other], axis=1), 16_000)
            assert read_audio(tmp_path / "a.wav").any()


@pytest.mark.parametrize("rate", [1, 999, 768_001, 2**31 - 1])
def test_rates_that_no_speech_has_are_refused(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(2000), 16_000)
    content = bytearray(path.read_bytes())
    content[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(content)
    for read in (read_audio, duration_s):
        with pytest.raises(InputError, match=rf"has {rate} samples a second; 1000 to 768000 are"):
            read(path)


def test_a_thousand_channels_take_no_memory_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(48, 1000), 48_000)
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # independent channels do not cancel
        assert len(read_audio(path)) == 16
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6, "a second of 1,000 channels would be 192 MB"


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3", "aiff"])
def test_seconds_are_those_that_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, noise(30_000, 2), 24_000)
    path.write_bytes(path.read_bytes() * 2)
    with pytest.warns(AudioWarning, match="is 2 recordings joined"):
        assert duration_s(path) == len(read_audio(path, 24_000)) / 24_000 == 2.5
