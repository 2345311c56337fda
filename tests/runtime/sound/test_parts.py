"""Files in which several recordings stand, of any kinds."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from quantkit.core.errors import InputError
from quantkit.runtime.audio import AudioWarning, read_audio


def encoded(kind: str, samples: int, subtype: str | None = None) -> bytes:
    audio = np.random.default_rng(samples).normal(size=samples) * 0.1
    file = io.BytesIO()
    soundfile.write(file, audio.astype(np.float32), 16_000, format=kind, subtype=subtype)
    return file.getvalue()


def decoded(content: bytes) -> NDArray[Any]:
    return soundfile.read(io.BytesIO(content), dtype="float32")[0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("WAV", "WAV"), ("FLAC", "FLAC"), ("OGG", "OGG"), ("AIFF", "AIFF"), ("AU", "AU"),
        ("CAF", "CAF"), ("W64", "W64"), ("RF64", "RF64"), ("WAV", "FLAC"), ("OGG", "WAV"),
    ],
)  # fmt: skip
def test_all_recordings_of_a_file_are_heard(tmp_path: Path, first: str, second: str) -> None:
    contents = [encoded(first, 9000), encoded(second, 7000), encoded(second, 5001)]
    path = tmp_path / "joined.wav"
    path.write_bytes(b"".join(contents))
    with pytest.warns(AudioWarning, match=r"joined\.wav: is 3 recordings joined: all are heard"):
        found = read_audio(path)
    np.testing.assert_array_equal(found, np.concatenate([decoded(one) for one in contents]))


def test_links_of_a_chained_ogg_may_be_of_two_codecs(tmp_path: Path) -> None:
    contents = [encoded("OGG", 9000), encoded("OGG", 9600, "OPUS")]
    path = tmp_path / "a.ogg"
    path.write_bytes(b"".join(contents))
    with pytest.warns(AudioWarning, match="is 2 recordings joined"):
        found = read_audio(path)
    np.testing.assert_array_equal(found, np.concatenate([decoded(one) for one in contents]))


def test_a_damaged_page_of_an_ogg_is_told(tmp_path: Path) -> None:
    content = bytearray(encoded("OGG", 60_000))
    content[len(content) // 2] ^= 1
    (tmp_path / "a.ogg").write_bytes(content)
    with pytest.raises(InputError, match=r"the Ogg page at byte \d+ does not have the checksum"):
        read_audio(tmp_path / "a.ogg")


def test_a_missing_page_of_an_ogg_is_told(tmp_path: Path) -> None:
    content = encoded("OGG", 300_000)
    starts = [at for at in range(len(content)) if content[at : at + 4] == b"OggS"]
    (tmp_path / "a.ogg").write_bytes(content[: starts[4]] + content[starts[5] :])
    with pytest.raises(InputError, match="of its Ogg pages number 4 is not there"):
        read_audio(tmp_path / "a.ogg")


def with_total(content: bytes, total: int) -> bytes:
    """A FLAC that says so many samples."""
    changed = bytearray(content)
    changed[21] &= 0xF0
    changed[22:26] = total.to_bytes(4, "big")
    return bytes(changed)


def test_a_flac_of_unknown_length_is_read_to_its_end(tmp_path: Path) -> None:
    content = encoded("FLAC", 50_000)
    (tmp_path / "a.flac").write_bytes(with_total(content, 0))
    np.testing.assert_array_equal(read_audio(tmp_path / "a.flac"), decoded(content))


def test_a_flac_of_a_wrong_length_is_read_to_its_end(tmp_path: Path) -> None:
    content = encoded("FLAC", 50_000)
    (tmp_path / "a.flac").write_bytes(with_total(content, 200))
    with pytest.warns(AudioWarning, match="promises 200 samples; 50000 are there and heard"):
        found = read_audio(tmp_path / "a.flac")
    np.testing.assert_array_equal(found, decoded(content))
    (tmp_path / "a.flac").write_bytes(with_total(content, 60_000))
    with pytest.raises(InputError, match="promises 60000 samples, 50000 could be read"):
        read_audio(tmp_path / "a.flac")


def ape_mark(flags: int) -> bytes:
    return b"APETAGEX" + struct.pack("<IIII8x", 2000, 500, 0, flags)


APE = ape_mark(0xA000_0000) + bytes(500 - 32) + ape_mark(0x8000_0000)


@pytest.mark.parametrize(
    ("after", "words"), [(b"TAG" + bytes(125), 0), (APE, 0), (APE[32:], 0), (b"x" * 500, 1)]
)
def test_what_follows_a_flac_is_not_heard(tmp_path: Path, after: bytes, words: int) -> None:
    """Tags at the end have no place in FLAC, but programs put them there."""
    content = encoded("FLAC", 50_000)
    (tmp_path / "a.flac").write_bytes(content + after)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        np.testing.assert_array_equal(read_audio(tmp_path / "a.flac"), decoded(content))
    assert len(said) == words


@pytest.mark.parametrize("kind", ["NIST", "VOC", "AVR", "SVX"])
def test_older_formats_that_are_truncated_are_refused(tmp_path: Path, kind: str) -> None:
    content = encoded(kind, 20_000)
    (tmp_path / "a.wav").write_bytes(content)
    assert len(read_audio(tmp_path / "a.wav")) == 20_000
    (tmp_path / "a.wav").write_bytes(content[:30_000])
    with pytest.raises(InputError, match=r"a\.wav: is truncated"):
        read_audio(tmp_path / "a.wav")


def test_a_sample_dump_is_refused_before_libsndfile_prints(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(encoded("SDS", 1000))
    with pytest.raises(InputError, match="is a MIDI sample dump"):
        read_audio(tmp_path / "a.wav")


def test_suffixes_of_formats_without_headers(tmp_path: Path) -> None:
    """Telephony's are heard; what is no GSM, and what could be anything, is not."""
    content = encoded("RAW", 8000, "GSM610")
    (tmp_path / "a.gsm").write_bytes(content)
    assert len(read_audio(tmp_path / "a.gsm", 8000)) == len(content) // 33 * 160
    for name in ("text.gsm", "a.raw", "a.RAW", "a.au", "a.snd"):
        (tmp_path / name).write_bytes(b"neither sound nor silence\n" * 40)
        with pytest.raises(InputError, match=rf"{name}: cannot be read as audio"):
            read_audio(tmp_path / name)
    (tmp_path / "b.raw").write_bytes(encoded("FLAC", 500))
    assert len(read_audio(tmp_path / "b.raw")) == 500
