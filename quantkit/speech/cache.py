"""Decoded speech, each recording once: what every system hears."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from quantkit.core import shapes
from quantkit.core.errors import InputError
from quantkit.core.files import PARTIAL, sha256_file, sweep, write_bytes
from quantkit.core.text import one_line, printable
from quantkit.speech.journal import Journal
from quantkit.speech.manifest import Recording, file_of
from quantkit.speech.reading import recording_blocks

_UNUSABLE = shapes.record({"pin": shapes.text, "reason": shapes.text})
_SPEECH = shapes.record(
    {
        "pin": shapes.text,
        "samples": shapes.sha256,
        "duration_s": shapes.number(),
        "sha256": shapes.sha256,
        "stamp": shapes.array(shapes.integer(-(2**63), 2**64), 3),
    }
)
#: Counted up where the reader of audio makes something else of a file than before.
_DECODING = 2
#: Of one sample in 24 bits, as a number of its smallest steps.
_FULL_SCALE = np.float32(1 << 23)


@dataclass(frozen=True)
class Speech:
    """A decoded recording.

    Attributes:
        audio: FLAC with one channel at the cache's rate.
        samples: SHA-256 of its samples as little-endian float32.
        duration_s: of it.
    """

    audio: Path
    samples: str
    duration_s: float


@dataclass(frozen=True)
class Unusable:
    """Why there is no speech."""

    reason: str


class SpeechCache:
    """Recordings as FLAC, under names that pin where they came from.

    Samples have 24 bits: all of a 16-bit recording's survive, and FLAC stores the eight zeros of
    those for nothing. Other recordings are rounded, and clipped at full scale; what is read back is
    what every system gets, so they agree on it.
    """

    def __init__(self, root: Path, sample_rate: int) -> None:
        """Go on with what `root` holds at this rate."""
        self.root = root / str(sample_rate)
        for folder in (self.root, *self.root.glob("*/")):
            sweep(folder)
        self.sample_rate = sample_rate
        self._journal = Journal(self.root / f"speech.{_DECODING}.jsonl", _entry)
        self._known = {entry["pin"]: entry for entry in self._journal.entries}

    def find(self, pin: str) -> Speech | Unusable | None:
        """What is kept under a name; None if that is nothing, or no longer what was kept."""
        entry = self._known.get(pin)
        if entry is None:
            return None
        if "reason" in entry:
            return Unusable(entry["reason"])
        audio = self._audio(pin)
        if not audio.is_file():
            return None
        # Copied or damaged since it was written, which its content tells apart.
        if _stamp(audio) != entry["stamp"] and sha256_file(audio) != entry["sha256"]:
            return None
        return Speech(audio, entry["samples"], entry["duration_s"])

    def decode(self, pin: str, recording: Recording) -> Speech | Unusable:
        """Keep what is heard of a recording, or why it cannot be used; found, it is not read."""
        found = self.find(pin)
        if found is not None:
            return found
        try:
            return self.keep(pin, recording_blocks(recording, self.sample_rate))
        except InputError as error:
            # Messages have their names made printable.
            name = printable(str(file_of(recording)))
            return self.refuse(pin, one_line(str(error).removeprefix(f"{name}: ")))

    def decode_content(self, pin: str, content: bytes) -> Speech | Unusable:
        """The same with the content of an audio file."""
        arrived = self.root / f".arrived{PARTIAL}"
        arrived.parent.mkdir(parents=True, exist_ok=True)
        arrived.write_bytes(content)
        try:
            return self.decode(pin, arrived)
        finally:
            arrived.unlink()

    def keep(self, pin: str, blocks: Iterable[NDArray[np.float32]]) -> Speech:
        """Keep samples, float32 [n] in blocks, at the cache's rate.

        Raises:
            InputError: there are none.
        """
        content, digest, count = io.BytesIO(), hashlib.sha256(), 0
        with soundfile.SoundFile(
            content, "w", self.sample_rate, channels=1, subtype="PCM_24", format="FLAC"
        ) as file:
            for block in blocks:
                steps = np.rint(block * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1)
                # soundfile takes the upper 24 bits of 32.
                file.write(steps.astype(np.int32) << 8)
                digest.update((steps / _FULL_SCALE).astype("<f4").tobytes())
                count += len(steps)
        if count == 0:
            raise InputError(f"has no samples at {self.sample_rate} Hz")
        flac = content.getvalue()
        write_bytes(self._audio(pin), flac)
        speech = Speech(self._audio(pin), digest.hexdigest(), count / self.sample_rate)
        self._note(
            pin,
            samples=speech.samples,
            duration_s=speech.duration_s,
            sha256=hashlib.sha256(flac).hexdigest(),
            stamp=_stamp(speech.audio),
        )
        return speech

    def refuse(self, pin: str, reason: str) -> Unusable:
        """Keep why there is no speech."""
        self._note(pin, reason=reason)
        return Unusable(reason)

    def _note(self, pin: str, **facts: str | float | list[int]) -> None:
        self._known[pin] = {"pin": pin, **facts}
        self._journal.append(self._known[pin])

    def _audio(self, pin: str) -> Path:
        return self.root / pin[:2] / f"{pin}.flac"


def _stamp(audio: Path) -> list[int]:
    """What changes with a file's content."""
    status = audio.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _entry(value: Any, where: str) -> None:
    """The shape of what is kept of a recording."""
    unusable = isinstance(value, dict) and "reason" in value
    (_UNUSABLE if unusable else _SPEECH)(value, where)
