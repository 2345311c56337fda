"""Damaged audio files: heard, or refused in the product's own words."""

from __future__ import annotations

import ctypes
import io
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.runtime.audio import duration_s, read_blocks
from tests.fuzz.trial import damaged, rounds, trial

KINDS = [
    ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("WAVEX", "PCM_24"), ("FLAC", None),
    ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None), ("AIFF", "PCM_16"), ("CAF", "PCM_16"),
    ("CAF", "ALAC_16"), ("W64", "PCM_16"), ("RF64", "PCM_16"), ("AU", "ULAW"), ("SDS", "PCM_16"),
    ("NIST", "PCM_16"), ("VOC", "PCM_16"), ("AVR", "PCM_16"), ("PAF", "PCM_24"), ("MAT5", "FLOAT"),
    ("XI", "DPCM_16"), ("HTK", "PCM_16"),
]  # fmt: skip


@cache
def sound(index: int) -> bytes:
    """Half a second of a kind."""
    format_, subtype = KINDS[index % len(KINDS)]
    random = np.random.default_rng(index)
    channels = 1 if format_ in {"SDS", "XI", "HTK"} else 1 + index % 2
    audio = (random.normal(size=(8000, channels)) * 0.1).astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, audio, 16_000, format=format_, subtype=subtype)
    return file.getvalue()


def heard(path: Path) -> tuple[float, float]:
    """A file through both doors: its seconds as read and as its headers tell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = sum(map(len, read_blocks(path))) / 16_000
        return read, duration_s(path)


@pytest.mark.parametrize("seed", rounds(short=110, long=1_100))
def test_damaged_audio(seed: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    turn, index = divmod(seed, len(KINDS))
    content = sound(index)
    if turn % 4 == 3:  # joined with the next
        content += sound((index + 1) % len(KINDS))
    # Half of the damage is in the header, where sizes are.
    head = 128 if turn % 2 else len(content)
    path = tmp_path / f"a.{KINDS[index][0].lower()}"
    path.write_bytes(damaged(content[:head], seed) + content[head:])
    trial(lambda: heard(path), f"seed {seed}", seconds=10, memory_mb=200)
    ctypes.CDLL(None).fflush(None)  # what libsndfile prints may wait in C's own buffer
    assert capfd.readouterr().out == ""
