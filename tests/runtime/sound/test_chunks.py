"""Headers of chunked containers that do not tell how long their sound is."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from quantkit.core.errors import InputError
from quantkit.runtime.audio import AudioWarning, read_audio
from quantkit.runtime.sound.parts import find_parts
from quantkit.runtime.sound.pieces import PiecesFile
from quantkit.runtime.sound.source import open_source

KINDS = ["WAV", "RF64", "W64", "AIFF", "CAF", "AU"]


def written(kind: str, samples: int = 9000, subtype: str | None = None) -> bytes:
    audio = np.random.default_rng(samples).normal(size=samples) * 0.1
    file = io.BytesIO()
    soundfile.write(file, audio, 16_000, format=kind, subtype=subtype)
    return file.getvalue()


def decoded(content: bytes) -> NDArray[Any]:
    return soundfile.read(io.BytesIO(content), dtype="float32")[0]


def saying(content: bytes, kind: str, size: int | None) -> bytes:
    """The file with that size, None for the one that stands for unknown, of its samples."""
    changed = bytearray(content)

    def put(place: int, width: int, order: Any, value: int) -> None:
        changed[place : place + width] = value.to_bytes(width, order)

    if kind == "WAV":
        put(content.index(b"data") + 4, 4, "little", 0xFFFFFFFF if size is None else size)
        put(4, 4, "little", 0 if not size else size + 36)
    elif kind == "RF64":
        wide = 2**64 - 1 if size is None else size
        put(content.index(b"ds64") + 16, 8, "little", wide)
    elif kind == "W64":
        wide = 2**63 - 1 if size is None else size + 24
        put(content.index(b"data\xf3") + 16, 8, "little", wide)
    elif kind == "AIFF":
        put(content.index(b"SSND") + 4, 4, "big", 0xFFFFFFFF if size is None else size + 8)
        put(content.index(b"COMM") + 10, 4, "big", (size or 0) // 2)
    elif kind == "CAF":
        put(content.index(b"data") + 4, 8, "big", 2**64 - 1 if size is None else size + 4)
    else:
        put(8, 4, "big", 0xFFFFFFFF if size is None else size)
    return bytes(changed)


def write(folder: Path, content: bytes) -> Path:
    path = folder / "a.wav"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_that_was_never_completed(tmp_path: Path, kind: str) -> None:
    content = written(kind)
    path = write(tmp_path, saying(content, kind, 0))
    with pytest.warns(AudioWarning, match=r"a\.wav: has a header that was never completed"):
        np.testing.assert_array_equal(read_audio(path), decoded(content))


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_length_needs_no_word(tmp_path: Path, kind: str) -> None:
    content = written(kind)
    path = write(tmp_path, saying(content, kind, None))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_audio(path), decoded(content))


@pytest.mark.parametrize("kind", KINDS)
def test_a_length_of_a_moment_is_not_all(tmp_path: Path, kind: str) -> None:
    """As recorders leave it that complete their header now and then, and die."""
    content = written(kind)
    path = write(tmp_path, saying(content, kind, 6000))
    with pytest.warns(
        AudioWarning, match=r"promises 60\d\d bytes of samples; 12\d\d\d more follow"
    ):
        np.testing.assert_array_equal(read_audio(path), decoded(content))


@pytest.mark.parametrize("kind", KINDS)
def test_a_length_that_is_not_there_is_refused(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, saying(written(kind), kind, 20_000))
    with pytest.raises(InputError, match=r"is truncated: its header promises 2000\d bytes"):
        read_audio(path)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM", "MS_ADPCM"])
def test_a_wav_of_any_encoding_that_was_never_completed(tmp_path: Path, subtype: str) -> None:
    content = written("WAV", 9001, subtype)
    path = write(tmp_path, saying(content, "WAV", 0))
    with pytest.warns(AudioWarning, match="never completed"):
        np.testing.assert_array_equal(read_audio(path)[:9001], decoded(content)[:9001])


LIST = b"LIST\x14\0\0\0INFOISFT\x08\0\0\0abcdefgh"


@pytest.mark.parametrize(
    "after", [LIST, LIST + LIST, LIST[:20], bytes(5000), b"TAG" + bytes(125), b"odd"]
)
def test_what_follows_the_samples_is_not_heard(tmp_path: Path, after: bytes) -> None:
    content = written("WAV")
    path = write(tmp_path, content + after)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_audio(path), decoded(content))


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    content = written("WAV")
    path = write(tmp_path, content + LIST + b"\1\2" * 500)
    with pytest.warns(AudioWarning, match="ends with 1000 bytes that are no audio"):
        np.testing.assert_array_equal(read_audio(path), decoded(content))


@pytest.mark.parametrize("first", [0, 3000])
def test_all_chunks_of_samples_are_heard(tmp_path: Path, first: int) -> None:
    one, two = written("WAV", first), written("WAV", 5000)
    path = write(tmp_path, one + LIST + two[36:])
    warnings.simplefilter("ignore")
    np.testing.assert_array_equal(read_audio(path), np.concatenate([decoded(one), decoded(two)]))


def test_an_odd_size_may_lack_its_even_byte(tmp_path: Path) -> None:
    content = written("WAV", 9001, "PCM_U8")[: 44 + 9001]
    path = write(
        tmp_path, content + LIST.replace(b"abcdefgh", b"a" * 180).replace(b"\x14", b"\xc0")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_audio(path), decoded(content))


def test_a_wav_without_samples_before_other_chunks_is_empty(tmp_path: Path) -> None:
    path = write(tmp_path, written("WAV", 0) + LIST)
    with pytest.raises(InputError, match="has a header but no samples"):
        read_audio(path)


def test_a_big_wav_is_told_as_rf64(tmp_path: Path) -> None:
    """Of 5 GiB, of which the disk has a few kilobytes; libsndfile counts them all."""
    path = write(tmp_path, saying(written("WAV"), "WAV", None))
    with path.open("r+b") as file:
        file.truncate(5 << 30)
    with open_source(path) as source:
        parts, notes = find_parts(source)
        with soundfile.SoundFile(PiecesFile(source, parts[0].pieces)) as file:
            assert file.frames == ((5 << 30) - 44) // 2
    assert notes == []


def test_a_lossless_format_for_which_libsndfile_prints_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, written("CAF", subtype="ALAC_16"))
    with pytest.raises(InputError, match="is Apple Lossless"):
        read_audio(path)
