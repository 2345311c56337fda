"""Reads audio files of any rate and channel count as 16 kHz (or other) mono samples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from quantkit.core.errors import InputError

Array = NDArray[np.float32]

SAMPLE_RATE = 16_000

#: libsndfile's log line when a header promises more bytes than the file has.
_SHORT_CHUNK = re.compile(
    r"^\s*(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE
)
#: Sizes from here on are what programs write into a header when they do not know the length yet.
_UNKNOWN_SIZE = 0x7FF00000
#: By so many samples may the length of an MP3 be wrong that has to be guessed from its size.
_MP3_FRAME = 1152
_UNENDED_OGG = "Last page lacks an end-of-stream bit"


def read_audio(path: Path, sample_rate: int = SAMPLE_RATE) -> Array:
    """A whole file as mono samples, float32 [n] at `sample_rate`.

    Raises:
        InputError: see `read_blocks`.
    """
    return np.concatenate(list(read_blocks(path, sample_rate)))


def read_blocks(
    path: Path, sample_rate: int = SAMPLE_RATE, block_s: float = 1.0
) -> Iterator[Array]:
    """A file as consecutive blocks of about `block_s` seconds, float32 [n] at `sample_rate`.

    Channels are averaged; another rate is resampled with state across blocks (soxr, high quality),
    so the blocks joined are the samples of `read_audio` and a long file needs no memory, unless it
    is an MP3.

    Raises:
        InputError: the file is missing, a directory, empty, truncated, not audio, has no samples
            or has samples that are not finite numbers. Content is checked as it is read.
    """
    with _open(path) as file:
        _refuse_truncated(path, file.extra_info)
        resampler = None
        if file.samplerate != sample_rate:
            resampler = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32")
        size = max(1, round(block_s * file.samplerate))
        # After each read soundfile seeks, which spoils the next samples of an MP3.
        whole = _read(path, file, file.frames, 0) if file.format == "MP3" else None
        done, total = 0, file.frames if whole is None else len(whole)
        while done < total:
            count = min(size, total - done)
            block = _read(path, file, count, done) if whole is None else whole[done:][:count]
            done += len(block)
            if resampler is not None:
                block = resampler.resample_chunk(block, last=done == total)
            yield block


def duration_s(path: Path) -> float:
    """Seconds of audio in a file, as its header tells.

    Raises:
        InputError: the file is missing, a directory, empty, not audio or has no samples.
    """
    with _open(path) as file:
        return float(file.frames / file.samplerate)


def _open(path: Path) -> soundfile.SoundFile:
    if not path.exists():
        raise InputError(f"{path}: no such audio file. Check the path.")
    if path.is_dir():
        raise InputError(f"{path}: is a directory. Name the audio files in it, one by one.")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes). Record or copy the file again.")
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(
            f"{path}: cannot be read as audio ({_reason(error)}). Accepted are the formats of "
            f"libsndfile, such as WAV, FLAC, OGG and MP3; convert others first."
        ) from error
    if file.frames <= 0:
        file.close()
        raise InputError(f"{path}: has a header but no samples. Record or copy the file again.")
    return file


def _reason(error: Exception) -> str:
    if isinstance(error, soundfile.LibsndfileError):
        return str(error.error_string).strip() or f"libsndfile error {error.code}"
    return str(error)


def _refuse_truncated(path: Path, log: str) -> None:
    """A truncated file is read up to its end in silence; only libsndfile's log tells."""
    short = _SHORT_CHUNK.search(log)
    if short:
        promised, present = int(short.group(1)), int(short.group(2))
        if present < promised < _UNKNOWN_SIZE:
            raise InputError(
                f"{path}: is truncated: its header promises {promised} bytes of samples, "
                f"{present} are there. Copy the file again."
            )
    if _UNENDED_OGG in log:
        raise InputError(f"{path}: is truncated: its last Ogg page is not there. Copy it again.")


def _read(path: Path, file: soundfile.SoundFile, count: int, done: int) -> Array:
    """The next `count` samples as one channel; `done` is the number already read."""
    try:
        block: Array = file.read(count, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"{path}: is damaged or truncated: sample {done} or one soon after it cannot be read "
            f"({_reason(error)}). Copy the file again."
        ) from error
    if count - len(block) > (_MP3_FRAME if file.format == "MP3" else 0):
        raise InputError(
            f"{path}: is truncated: its header promises {file.frames} samples, "
            f"{done + len(block)} could be read. Copy the file again."
        )
    finite = np.isfinite(block)
    if not finite.all():
        first = int(np.flatnonzero(~finite.all(axis=1))[0])
        raise InputError(
            f"{path}: sample {done + first} (at {(done + first) / file.samplerate:.3f} s) is "
            f"{block[first][~finite[first]][0]}; finite numbers are expected. Repair the recording."
        )
    return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
