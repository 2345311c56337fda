"""Speed of an artifact with several streams at once, numbers of streams taking turns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from quantkit.bench.candidate import Candidate, find_candidates
from quantkit.bench.machine import usable_cores
from quantkit.bench.statistics import paired_ratio
from quantkit.core.errors import InputError
from quantkit.core.progress import Progress
from quantkit.runtime.transcriber import Transcriber, Transcript

ROUNDS = 5
MOST_STREAMS = 1024


def parse_counts(text: str, audio: Sequence[Path]) -> list[int]:
    """Numbers of streams from words such as "1,2,4"; none from none.

    Raises:
        InputError: one is no number from 1 to 1024, or there is no audio to stream.
    """
    words = [word.strip() for word in text.split(",")] if text else []
    accepted = {str(number) for number in range(1, MOST_STREAMS + 1)}
    wrong = [word for word in words if word not in accepted]
    if wrong:
        raise InputError(
            f"--streams: found {wrong[0]!r}, accepted: numbers up to {MOST_STREAMS}, such as 1,2,4"
        )
    if words and not audio:
        raise InputError("--streams: found no --audio, accepted: one or more files to stream")
    return [int(word) for word in words]


def bench_streams(
    paths: Sequence[Path],
    threads: Sequence[int],
    counts: Sequence[int],
    audio: Sequence[Path],
    progress: Progress,
) -> list[dict[str, Any]]:
    """Time artifacts on several streams at once, each of which is all of the audio.

    Candidates that are no artifacts of quantkit are left out.

    Returns:
        One entry per artifact, thread count and number of streams: `name`, `threads`, `streams`,
        `rtfx` (seconds of audio of all streams per second, median) and `ratio_median`,
        `ratio_low`, `ratio_high` (over the first number of streams, in the same rounds).

    Raises:
        InputError: an artifact or audio file is wrong.
    """
    artifacts = [candidate for candidate in find_candidates(paths) if candidate.kind == "artifact"]
    return [
        row
        for count in threads or (usable_cores(),)
        for artifact in artifacts
        for row in _measure(artifact, count, counts, audio, progress)
    ]


def _measure(
    artifact: Candidate,
    threads: int,
    counts: Sequence[int],
    audio: Sequence[Path],
    progress: Progress,
) -> list[dict[str, Any]]:
    transcriber = Transcriber.load(artifact.path, threads)
    turns = [(turn, count) for turn in range(ROUNDS) for count in counts]
    what = f"streams, {threads} thread{'s' if threads > 1 else ''}"
    speeds = [
        _speed(transcriber, audio, count) for _, count in progress.track(turns, len(turns), what)
    ]
    by_count = np.array(speeds).reshape(ROUNDS, len(counts)).T
    return [
        {"name": artifact.name, "threads": threads, "streams": count, "rtfx": float(np.median(of))}
        | {f"ratio_{k}": v for k, v in asdict(paired_ratio(of, by_count[0])).items()}
        for count, of in zip(counts, by_count, strict=True)
    ]


def _speed(transcriber: Transcriber, audio: Sequence[Path], streams: int) -> float:
    """Seconds of audio per second, of so many streams."""
    began = time.perf_counter()
    heard = transcriber.transcribe_many([path for path in audio for _ in range(streams)], streams)
    return _duration_s(list(heard)) / (time.perf_counter() - began)


def _duration_s(heard: Sequence[Transcript | InputError]) -> float:
    for transcript in heard:
        if isinstance(transcript, InputError):
            raise transcript
    return sum(transcript.duration_s for transcript in heard if isinstance(transcript, Transcript))
