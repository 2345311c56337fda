"""Training speech as it is kept: Opus files, and one line of facts for each clip in them.

A hundred clips of speech are 700 kB, so the whole corpus can be carried to a machine with a GPU.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile

from demo.sources import RATE
from demo.synthesize import Phones

#: What soundfile wants to hear for 15 kbit/s.
COMPRESSION = 0.965


@dataclass(frozen=True)
class Utterance:
    """One clip of an Opus file: how many samples are its own, what it says, its phones if known."""

    text: str
    speaker: str
    samples: int
    phones: Phones


def write_speech(path: Path, clips: Iterable[tuple[str, str, np.ndarray, Phones]]) -> None:
    """Write PATH.opus and PATH.jsonl; the second appears last and marks the first complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    utterances = []
    with soundfile.SoundFile(
        path.with_suffix(".opus"),
        "w",
        samplerate=RATE,
        channels=1,
        format="OGG",
        subtype="OPUS",
        compression_level=COMPRESSION,
    ) as file:
        for text, speaker, samples, phones in clips:
            file.write(np.clip(samples, -1, 1))
            utterances.append(Utterance(text, speaker, len(samples), phones))
    partial = path.with_suffix(".part")
    partial.write_text("".join(json.dumps(asdict(utterance)) + "\n" for utterance in utterances))
    partial.rename(path.with_suffix(".jsonl"))


def read_speech(path: Path) -> list[tuple[Utterance, np.ndarray]]:
    """The clips of the file whose index is `path`, 16 kHz in [-1, 1]."""
    samples, _ = soundfile.read(path.with_suffix(".opus"), dtype="float32")
    utterances = [_parse(line) for line in path.read_text().splitlines()]
    ends = np.cumsum([utterance.samples for utterance in utterances])
    return list(zip(utterances, np.split(samples, ends[:-1]), strict=True))


def _parse(line: str) -> Utterance:
    fields = json.loads(line)
    return Utterance(**fields | {"phones": [tuple(phone) for phone in fields["phones"]]})
