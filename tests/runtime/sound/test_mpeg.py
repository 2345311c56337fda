"""MP3s whose first frame does not say how many follow, or says it of a part of them."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from quantkit.core.errors import InputError
from quantkit.runtime.audio import AudioWarning, read_audio

#: What LAME puts before the sound at this rate, and its decoder after it: samples.
DELAY = 576 + 529
TAG2 = b"ID3\x04\0\0\0\0\x08\0" + bytes(1024)
TAG1 = b"TAG" + b"x" * 125


def encoded(samples: int = 48_000, rate: int = 16_000, channels: int = 1, **settings: Any) -> bytes:
    """Loud for a moment and quiet then, so that variable frames are of very different sizes."""
    random = np.random.default_rng(samples)
    loudness = np.where(np.arange(samples) < samples // 6, 0.5, 0.0005)
    audio = random.normal(size=(samples, channels)) * loudness[:, None]
    file = io.BytesIO()
    soundfile.write(file, audio.astype(np.float32), rate, format="MP3", **settings)
    return file.getvalue()


VARIABLE: dict[str, Any] = {"bitrate_mode": "VARIABLE", "compression_level": 0.3}


def decoded(content: bytes) -> NDArray[Any]:
    audio, _ = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    return audio.mean(axis=1)


def without_count(content: bytes) -> bytes:
    """The file without its first frame, which holds the count."""
    return content[content.index(content[:2], 100) :]


def write(folder: Path, content: bytes) -> Path:
    path = folder / "a.mp3"
    path.write_bytes(content)
    return path


def test_variable_frames_without_a_count_are_read_to_the_end(tmp_path: Path) -> None:
    content = encoded(**VARIABLE)
    path = write(tmp_path, without_count(content))
    assert soundfile.info(path).frames < 30_000, "libsndfile guesses fewer than there are"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_audio(path)
    np.testing.assert_allclose(found[DELAY:][:48_000], decoded(content), atol=1e-6)


@pytest.mark.parametrize("between", [b"", TAG2, TAG1 + TAG2, b"APETAGEX" + bytes(24)])
def test_files_joined_are_heard_one_after_the_other(tmp_path: Path, between: bytes) -> None:
    one, two = encoded(), encoded(40_000, **VARIABLE)
    path = write(tmp_path, TAG2 + one + between + two + TAG1)
    with pytest.warns(AudioWarning, match=r"a\.mp3: is 2 recordings joined: all are heard"):
        found = read_audio(path)
    np.testing.assert_allclose(found, np.concatenate([decoded(one), decoded(two)]), atol=1e-6)


def test_files_joined_without_counts_are_heard_to_the_end(tmp_path: Path) -> None:
    content = without_count(encoded(**VARIABLE))
    alone = read_audio(write(tmp_path, content))
    together = read_audio(write(tmp_path, content + content))
    assert len(together) == 2 * len(alone)


def test_files_of_different_rates_are_joined(tmp_path: Path) -> None:
    one, two = encoded(), encoded(66_150, 44_100, 2)
    path = write(tmp_path, one + two)
    with pytest.warns(AudioWarning, match="is 2 recordings joined"):
        found = read_audio(path)
    expected = [decoded(one), soxr.resample(decoded(two), 44_100, 16_000)]
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-5)


def test_a_count_that_is_too_small_is_put_right(tmp_path: Path) -> None:
    content = bytearray(encoded(**VARIABLE))
    place = content.index(b"Xing") + 8
    right = decoded(bytes(content))
    content[place : place + 4] = (20).to_bytes(4, "big")
    with pytest.warns(AudioWarning, match=r"header that promises 0\.72 s; 3\.10 s are there"):
        found = read_audio(write(tmp_path, bytes(content)))
    np.testing.assert_allclose(found, right, atol=1e-6)


def test_a_count_without_a_number_is_counted(tmp_path: Path) -> None:
    content = bytearray(encoded(**VARIABLE))
    content[content.index(b"Xing") + 7] &= 0xFE
    found = read_audio(write(tmp_path, bytes(content)))
    np.testing.assert_allclose(found[DELAY:][:48_000], decoded(encoded(**VARIABLE)), atol=1e-6)


@pytest.mark.parametrize("cut", [b"\xff\xfb\x90\0", b"\xff\xf3\x90\0"])
def test_the_first_bytes_of_a_frame_at_the_end_are_no_recording(tmp_path: Path, cut: bytes) -> None:
    content = encoded()
    path = write(tmp_path, content + cut + b"rubbish" * 30)
    with pytest.warns(AudioWarning, match="ends with 214 bytes"):
        found = read_audio(path)
    np.testing.assert_allclose(found, decoded(content), atol=1e-6)


def test_what_looks_like_a_frame_before_the_first_is_left_out(tmp_path: Path) -> None:
    content = encoded(2_000)
    path = write(tmp_path, b"\xff\xfb\xe0\0" + content)
    with pytest.warns(AudioWarning, match="has 4 bytes between its MP3 frames"):
        found = read_audio(path)
    np.testing.assert_allclose(found, decoded(content), atol=1e-6)


def test_frames_that_are_missing_are_told(tmp_path: Path) -> None:
    content = encoded()
    path = write(tmp_path, content + content[: len(content) * 2 // 3])
    with pytest.raises(InputError, match=r"promises \d+ MP3 frames, \d+ are there"):
        read_audio(path)


def test_bytes_that_are_no_frames_are_left_out_with_a_word(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = without_count(encoded())
    cut = content.index(content[:2], len(content) // 2)
    path = write(tmp_path, content[:cut] + b"no frame " * 500 + content[cut:])
    with pytest.warns(AudioWarning, match="has 4500 bytes between its MP3 frames"):
        found = read_audio(path)
    assert len(found) == len(read_audio(write(tmp_path, content)))
    assert capfd.readouterr() == ("", "")
