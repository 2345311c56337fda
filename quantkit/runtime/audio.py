"""Reads audio files of any rate and channel count as 16 kHz (or other) mono samples."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from quantkit.core.errors import InputError
from quantkit.core.text import one_line
from quantkit.runtime.samples import LARGEST, silence_unsound
from quantkit.runtime.sound.parts import find_parts
from quantkit.runtime.sound.pieces import Part, PiecesFile
from quantkit.runtime.sound.source import Source, open_source

Array = NDArray[np.float32]

SAMPLE_RATE = 16_000

#: Rates that are heard, in hertz: below them is no speech, above them no recorder.
_RATES = (1_000, 768_000)
#: Numbers read at a time, whatever a header says of rates and channels.
_MOST_NUMBERS = 1 << 18
#: libsndfile's count of frames where it does not know.
_UNKNOWN = (1 << 63) - 1
#: What libsndfile's log tells of formats that are not walked here: that a file is shorter than its
#: header, and of how many samples a channel has by the header.
_CUT = re.compile(r"^\s*BODY : \d+ \(should be|truncated", re.MULTILINE)
_CUT_LOGGED = ("VOC", "SVX", "MAT4", "MAT5")
_FRAMES = re.compile(r"^\s*Frames\s*: (\d{1,18})$", re.MULTILINE)
_FRAMES_LOGGED = ("AVR", "MPC2K")
#: Channels that do not cancel have a mean of at least the loudest one's amplitude by their number.
#: Where it is less than a tenth of that, for so many seconds, it is said, unless nothing is to be
#: heard in any of them.
_CANCELLED, _WORTH_S, _AUDIBLE = 0.1, 0.5, 0.003


class AudioWarning(UserWarning):
    """A recording is heard, but not as its header says, or not all of it is sound."""


def read_audio(path: Path, sample_rate: int = SAMPLE_RATE) -> Array:
    """A whole file as mono samples, float32 [n] at `sample_rate`.

    Raises:
        InputError: see `read_blocks`.
    """
    return np.concatenate(list(read_blocks(path, sample_rate)))


def read_blocks(path: Path, sample_rate: int = SAMPLE_RATE, block_s: float = 1.0) -> AudioBlocks:
    """A file as consecutive blocks of about `block_s` seconds, float32 [n] at `sample_rate`.

    `-` is standard input; what a pipe gives is taken to its end first. Channels are averaged;
    another rate is resampled with state across blocks (soxr, high quality), so the blocks joined
    are the samples of `read_audio` and a long file needs no memory. A file is read to its end,
    whatever its header says; recordings that somebody joined are heard one after the other. What
    differs from the header is said in an `AudioWarning`, as is how many samples were made silent
    (see `quantkit.runtime.samples`), and that channels cancel each other.

    Raises:
        InputError: nothing is there to be read, it is not audio, truncated or damaged, has no
            samples, or a rate that no speech has. Content is checked as it is read.
    """
    return AudioBlocks(path, sample_rate, block_s)


def duration_s(path: Path) -> float:
    """Seconds of audio in a file.

    Raises:
        InputError: the file is missing, a directory, empty, not audio or has no samples.
    """
    total = 0.0
    with open_source(path) as source:
        for part in find_parts(source)[0]:
            with _Recording(source, part) as recording:
                total += recording.frames / recording.rate
    if total == 0:
        raise _silent(path)
    return total


class AudioBlocks(Iterator[Array]):
    """The blocks of a file; `replaced_samples` is how many numbers in it were made silent."""

    def __init__(self, path: Path, sample_rate: int, block_s: float) -> None:
        self.replaced_samples = 0
        self._path = path
        self._blocks = self._read(sample_rate, block_s)

    def __next__(self) -> Array:
        return next(self._blocks)

    def _read(self, sample_rate: int, block_s: float) -> Iterator[Array]:
        cancelled, heard, empty = 0.0, 0.0, True
        with open_source(self._path) as source:
            parts, notes = find_parts(source)
            for note in notes:
                self._say(note)
            for part in parts:
                with _Recording(source, part) as recording:
                    mixed = self._mixed(recording, max(1, round(block_s * recording.rate)))
                    for block in _resampled(mixed, recording.rate, sample_rate):
                        empty = False
                        heard += len(block) / sample_rate
                        yield block
                    cancelled += recording.cancelled / recording.rate
        if empty:
            raise _silent(self._path)
        if cancelled and cancelled > min(_WORTH_S, heard / 2):
            self._say(
                f"has channels that cancel each other for {cancelled:.1f} s, which is next to "
                f"silent in their mean. One of them is inverted; give one channel"
            )
        if self.replaced_samples:
            self._say(
                f"has samples that are not finite or beyond {LARGEST:.0f} (full scale is 1): "
                f"{self.replaced_samples} are taken as silence"
            )

    def _mixed(self, recording: _Recording, size: int) -> Iterator[Array]:
        """The mean of the channels, in blocks of `size` samples."""
        for block in recording.blocks(size):
            sound, replaced = silence_unsound(block)
            self.replaced_samples += replaced
            if sound.shape[1] == 1:
                yield sound[:, 0]
                continue
            mean = sound.mean(axis=1)
            recording.listen(sound, mean)
            yield mean

    def _say(self, note: str) -> None:
        _say(one_line(str(self._path)), note)


class _ForwardFile(soundfile.SoundFile):  # type: ignore[misc]
    """Does not seek after each read, which spoils MP3 and fails where no length is known."""

    def seekable(self) -> bool:
        return False


@dataclass
class _Recording:
    """One part of a file as libsndfile decodes it; `cancelled` counts samples that mixing loses."""

    source: Source
    part: Part
    cancelled: int = 0

    def __enter__(self) -> Self:
        self._bytes = PiecesFile(self.source, self.part.pieces, self.part.claim)
        self._file = self._open()
        if self._file.format in _CUT_LOGGED and _CUT.search(self._file.extra_info):
            self._file.close()
            raise InputError(
                f"{self.source.label}: is truncated: it ends before its header says so. "
                f"Copy the file again."
            )
        low, high = _RATES
        if not low <= self.rate <= high:
            self._file.close()
            raise InputError(
                f"{self.source.label}: has {self.rate} samples a second; {low} to {high} are "
                f"accepted. Check what wrote it."
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def rate(self) -> int:
        """Samples a second."""
        return int(self._file.samplerate)

    @property
    def frames(self) -> int:
        """Samples of a channel, which have to be read if no header tells."""
        if self.part.claim and self.part.promised is not None:
            return self.part.promised
        if self._file.frames == _UNKNOWN:
            return sum(map(len, self.blocks(self.rate)))
        return int(self._file.frames)

    def blocks(self, size: int) -> Iterator[Array]:
        """Blocks of `size` samples and the rest, float32 [n, channels].

        Raises:
            InputError: the recording cannot be read on, or ends before its header says so.
        """
        done, promised = 0, self._promised()
        for block in self._promised_blocks(size, promised):
            done += len(block)
            yield block
        if promised is None:
            return
        if done < promised - self.part.spare:
            raise InputError(
                f"{self.source.label}: is truncated: its header promises {promised} samples, "
                f"{done} could be read. Copy the file again."
            )
        if done == promised:
            yield from self._more_blocks(size, done)

    def _promised_blocks(self, size: int, promised: int | None) -> Iterator[Array]:
        """Blocks up to the number of samples that is promised, or to the end."""
        done = 0
        while count := size if promised is None else min(size, promised - done):
            block = self._read(count, done)
            done += len(block)
            if len(block):
                yield block
            if len(block) < count:
                break

    def _more_blocks(self, size: int, promised: int) -> Iterator[Array]:
        """Blocks beyond what the header promises, where that is too little; most often none."""
        more, count = 0, size
        while count == size:
            try:
                block = self._read(size, promised + more)
            except InputError:
                if more or self._bytes.error:
                    raise
                self._say("ends with bytes that are no sound: not heard")
                return
            count = len(block)
            more += count
            if count:
                yield block
        if more:
            self._say(
                f"has a header that promises {promised} samples; {promised + more} are there and "
                f"heard"
            )

    def _say(self, note: str) -> None:
        _say(self.source.label, note)

    def _promised(self) -> int | None:
        """Samples of a channel that a header tells."""
        if self.part.promised is not None:
            return self.part.promised
        if self._file.format in _FRAMES_LOGGED:
            logged = _FRAMES.search(self._file.extra_info)
            return int(logged[1]) if logged else None
        return None if self._file.frames == _UNKNOWN else int(self._file.frames)

    def listen(self, sound: Array, mean: Array) -> None:
        """Notice where channels [n, channels] are heard and their mean [n] is not."""
        loudest = np.sqrt(np.square(sound).mean(axis=0).max())
        least = _CANCELLED * loudest / sound.shape[1]
        if loudest > _AUDIBLE and np.sqrt(np.square(mean).mean()) < least:
            self.cancelled += len(mean)

    def _read(self, count: int, done: int) -> Array:
        """The next `count` samples, or those that are left; `done` is the number already read."""
        most = max(1, _MOST_NUMBERS // self._file.channels)
        blocks: list[Array] = []
        while count:
            try:
                block = self._file.read(min(count, most), dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise self._bytes.error or InputError(
                    f"{self.source.label}: is damaged or truncated: sample {done} or one soon "
                    f"after it cannot be read ({_reason(error)}). Copy the file again."
                ) from error
            if self._bytes.error:
                raise self._bytes.error
            blocks.append(block)
            count -= len(block)
            if len(block) < most and count:
                break
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def _open(self) -> soundfile.SoundFile:
        given = {}
        if self.part.headerless:
            given = {
                "format": "RAW",
                "subtype": self.part.headerless,
                "samplerate": 8000,
                "channels": 1,
            }
        try:
            return _ForwardFile(self._bytes, "r", **given)
        except soundfile.LibsndfileError as error:
            raise self._bytes.error or InputError(
                f"{self.source.label}: cannot be read as audio ({_reason(error)}). Accepted are "
                f"the formats of libsndfile, such as WAV, FLAC, OGG and MP3; convert others first."
            ) from error


def _resampled(blocks: Iterable[Array], rate: int, wanted: int) -> Iterator[Array]:
    """The same sound at another rate."""
    if rate == wanted:
        yield from blocks
        return
    resampler = soxr.ResampleStream(rate, wanted, 1, dtype="float32")
    before: Array | None = None
    for block in blocks:
        if before is not None:
            yield resampler.resample_chunk(before)
        before = block
    if before is not None:
        yield resampler.resample_chunk(before, last=True)


def _say(label: str, note: str) -> None:
    # Nobody's line of code is to blame: the message names the file.
    warnings.warn(f"{label}: {note}.", AudioWarning, stacklevel=2)


def _reason(error: soundfile.LibsndfileError) -> str:
    return str(error.error_string).strip() or f"libsndfile error {error.code}"


def _silent(path: Path) -> InputError:
    return InputError(
        f"{one_line(str(path))}: has a header but no samples. Record or copy the file again."
    )
