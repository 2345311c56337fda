"""Measure candidates against each other, call by call, so that noise hits all of them alike."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from quantkit.bench.candidate import Candidate, find_candidates
from quantkit.bench.machine import machine
from quantkit.bench.statistics import paired_ratio, percentiles_ms
from quantkit.bench.worker import Worker
from quantkit.core.errors import InputError
from quantkit.core.progress import Progress

WARM_UP = 5
AUDIO_ROUNDS = 3
#: Pause before a timed call: the runtime's idle threads spin for a while after the last one.
SETTLE_S = 0.02


def bench(
    paths: Sequence[Path],
    threads: Sequence[int],
    rounds: int,
    audio: Sequence[Path],
    progress: Progress,
) -> dict[str, Any]:
    """Time encoder steps, and whole recognizers on speech, of several candidates.

    Args:
        paths: artifacts, and directories or files of other exporters' streaming encoders.
        threads: thread counts to measure with, one after the other.
        rounds: timed encoder steps per candidate.
        audio: files for the recognizers; none leaves `rtfx` null.
        progress: draws it.

    Returns:
        `machine`; `candidates`, one per candidate and thread count, with `step_ms` (p50, p95,
        p99), `rtfx_encoder` and `rtfx` (seconds of audio per second of work, medians), `load_s`,
        `rss_bytes` (the process after all work), `rss_base_bytes` (before loading), `bytes`,
        `encoder_bytes` and `chunk_s`; `pairs`, with the time of `a` over the time of `b`.

    Raises:
        InputError: a candidate, an audio file or a number is wrong.
    """
    if rounds < 1 or not threads or min(threads) < 1:
        raise InputError(f"bench: found {rounds} rounds, threads {list(threads)}; accepted: >= 1")
    candidates = find_candidates(paths)
    if not candidates:
        raise InputError("bench: found no candidate, accepted: one or more")
    rows, pairs = [], []
    for count in threads:
        found = _measure(candidates, count, rounds, audio, progress)
        rows += found[0]
        pairs += found[1]
    return {"machine": machine(), "candidates": rows, "pairs": pairs}


def _measure(
    candidates: Sequence[Candidate],
    threads: int,
    rounds: int,
    audio: Sequence[Path],
    progress: Progress,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    with ExitStack() as stack:
        workers, loaded = [], []
        for candidate in candidates:  # one at a time, so that they load undisturbed
            workers.append(stack.enter_context(Worker(candidate, threads)))
            loaded.append(workers[-1].loaded())
        what = f"steps, {threads} thread{'s' if threads > 1 else ''}"
        turns = progress.track(range(-WARM_UP, rounds), WARM_UP + rounds, what)
        seconds = np.array([_round(workers, turn) for turn in turns])[WARM_UP:].T
        recognizers = [worker for worker in workers if worker.candidate.native]
        jobs = list(itertools.product(range(AUDIO_ROUNDS), audio, recognizers))
        speeds: dict[str, list[tuple[float, float]]] = {w.candidate.name: [] for w in recognizers}
        for _, path, worker in progress.track(jobs, len(jobs), what.replace("steps", "speech")):
            time.sleep(SETTLE_S)
            speeds[worker.candidate.name].append(worker.transcribe(path))
        rows = [
            {
                "name": worker.candidate.name,
                "threads": threads,
                "step_ms": percentiles_ms(times),
                "rtfx_encoder": found.chunk_s / float(np.median(times)),
                "rtfx": _rtfx(speeds.get(worker.candidate.name, [])),
                "load_s": found.load_s,
                "rss_bytes": worker.resident(),
                "rss_base_bytes": found.base_bytes,
                "bytes": worker.candidate.bytes,
                "encoder_bytes": worker.candidate.encoder_bytes,
                "chunk_s": found.chunk_s,
            }
            for worker, found, times in zip(workers, loaded, seconds, strict=True)
        ]
    pairs = [
        {"a": a.name, "b": b.name, "threads": threads}
        | {f"ratio_{key}": value for key, value in asdict(paired_ratio(x, y)).items()}
        for (a, x), (b, y) in itertools.combinations(zip(candidates, seconds, strict=True), 2)
    ]
    return rows, pairs


def _round(workers: Sequence[Worker], turn: int) -> list[float]:
    """One step of each, starting with another one every time; seconds in the workers' order."""
    taken = [0.0] * len(workers)
    for offset in range(len(workers)):
        index = (turn + offset) % len(workers)
        time.sleep(SETTLE_S)
        taken[index] = workers[index].step()
    return taken


def _rtfx(runs: Sequence[tuple[float, float]]) -> float | None:
    """Median over the rounds of all audio over all work."""
    if not runs:
        return None
    rounds = np.array(runs).reshape(AUDIO_ROUNDS, -1, 2).sum(axis=1)
    return float(np.median(rounds[:, 0] / rounds[:, 1]))
