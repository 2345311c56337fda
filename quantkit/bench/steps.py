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
from quantkit.bench.machine import machine, usable_cores
from quantkit.bench.peaks import Peaks, measure_peaks
from quantkit.bench.statistics import paired_ratio, percentiles_ms
from quantkit.bench.subjects import Profile
from quantkit.bench.worker import Loaded, Worker
from quantkit.core.errors import InputError
from quantkit.core.progress import Progress
from quantkit.runtime.transcriber import Transcript

WARM_UP = 5
AUDIO_ROUNDS = 3
MOST_ROUNDS, MOST_THREADS = 1_000_000, 1024
#: Pause before a timed call: the runtime's idle threads spin for a while after the last one.
SETTLE_S = 0.02


def bench(
    paths: Sequence[Path],
    threads: Sequence[int],
    rounds: int,
    audio: Sequence[Path],
    progress: Progress,
    chunk_ms: int = 560,
) -> dict[str, Any]:
    """Time encoder steps, and whole recognizers on speech, of several candidates.

    Args:
        paths: artifacts, directories or files of other exporters' streaming encoders, and NeMo
            checkpoints, which run in PyTorch.
        threads: thread counts to measure with, one after the other; none takes all usable cores.
        rounds: timed encoder steps per candidate.
        audio: files for the recognizers; none leaves `rtfx` null.
        progress: draws it.
        chunk_ms: length of the chunks that checkpoints take.

    Returns:
        `machine`; `peaks`, what the machine reaches at each thread count; `candidates`, one per
        candidate and thread count, with `step_ms` (p50, p95, p99), `rtfx_encoder` and `rtfx`
        (seconds of audio per second of work, medians), `tokens_per_s` (of audio, as the decoder's
        share of the work grows with them), `load_s`, `rss_bytes`, `uss_bytes` and `rss_peak_bytes`
        (the process after all work), `rss_base_bytes` (before loading), `bytes`, `encoder_bytes`,
        `chunk_s`, `cost` of an encoder step and `profile`, its time by operator (both null for
        PyTorch); `pairs`, with the time of `a` over the time of `b`.

    Raises:
        InputError: a candidate, an audio file or a number is wrong.
    """
    threads = threads or (usable_cores(),)
    if not 1 <= rounds <= MOST_ROUNDS or not all(1 <= one <= MOST_THREADS for one in threads):
        numbers = f"{rounds} rounds, threads {', '.join(map(str, threads))}"
        raise InputError(
            f"bench: found {numbers}; accepted: 1 to {MOST_ROUNDS} rounds, 1 to {MOST_THREADS} "
            "threads"
        )
    candidates = find_candidates(paths)
    if not candidates:
        raise InputError("bench: found no candidate, accepted: one or more")
    peaks, rows, pairs = [], [], []
    for count in threads:
        found = _measure(candidates, count, rounds, audio, chunk_ms, progress)
        peaks.append(asdict(found[0]))
        rows += found[1]
        pairs += found[2]
    return {"machine": machine(), "peaks": peaks, "candidates": rows, "pairs": pairs}


def _measure(
    candidates: Sequence[Candidate],
    threads: int,
    rounds: int,
    audio: Sequence[Path],
    chunk_ms: int,
    progress: Progress,
) -> tuple[Peaks, list[dict[str, Any]], list[dict[str, Any]]]:
    peaks = measure_peaks(threads)
    with ExitStack() as stack:
        workers, loaded = [], []
        for candidate in candidates:  # one at a time, so that they load undisturbed
            workers.append(stack.enter_context(Worker(candidate, threads, chunk_ms)))
            loaded.append(workers[-1].loaded())
        what = f"steps, {threads} thread{'s' if threads > 1 else ''}"
        turns = progress.track(range(-WARM_UP, rounds), WARM_UP + rounds, what)
        seconds = np.array([_round(workers, turn) for turn in turns])[WARM_UP:].T
        recognizers = [worker for worker in workers if worker.candidate.recognizes]
        jobs = list(itertools.product(range(AUDIO_ROUNDS), audio, recognizers))
        speech: dict[str, list[Transcript]] = {worker.candidate.name: [] for worker in workers}
        for _, path, worker in progress.track(jobs, len(jobs), what.replace("steps", "speech")):
            time.sleep(SETTLE_S)
            speech[worker.candidate.name].append(worker.transcribe(path))
        memories = [worker.memory() for worker in workers]
        profiles = [worker.profile() for worker in workers]
    # What else runs on the machine comes and goes: the better of two moments is nearer the peak.
    peaks = peaks.or_better(measure_peaks(threads))
    rows = [
        {
            "name": worker.candidate.name,
            "threads": threads,
            "step_ms": percentiles_ms(times),
            "rtfx_encoder": found.chunk_s / float(np.median(times)),
            **_speed(speech[worker.candidate.name]),
            "load_s": found.load_s,
            **asdict(memory),
            "rss_base_bytes": found.base_bytes,
            "bytes": worker.candidate.bytes,
            "encoder_bytes": worker.candidate.encoder_bytes,
            "chunk_s": found.chunk_s,
            "cost": profile and _cost(profile, found, float(np.median(times)), peaks),
            "profile": profile and profile.operators,
        }
        for worker, found, times, memory, profile in zip(
            workers, loaded, seconds, memories, profiles, strict=True
        )
    ]
    pairs = [
        {"a": a.name, "b": b.name, "threads": threads}
        | {f"ratio_{key}": value for key, value in asdict(paired_ratio(x, y)).items()}
        for (a, x), (b, y) in itertools.combinations(zip(candidates, seconds, strict=True), 2)
    ]
    return peaks, rows, pairs


def _cost(profile: Profile, loaded: Loaded, step_s: float, peaks: Peaks) -> dict[str, float]:
    """What a step costs, and the shares of the machine's peaks that it reaches."""
    return {
        "multiply_adds_per_step": profile.multiply_adds,
        "multiply_adds_per_s": profile.multiply_adds / loaded.chunk_s,
        "bytes_per_step": profile.bytes,
        "integer_share": profile.multiply_adds / step_s / peaks.integer_multiply_adds_per_s,
        "bandwidth_share": profile.bytes / step_s / peaks.read_bytes_per_s,
    }


def _round(workers: Sequence[Worker], turn: int) -> list[float]:
    """One step of each, starting with another one every time; seconds in the workers' order."""
    taken = [0.0] * len(workers)
    for offset in range(len(workers)):
        index = (turn + offset) % len(workers)
        time.sleep(SETTLE_S)
        taken[index] = workers[index].step()
    return taken


def _speed(runs: Sequence[Transcript]) -> dict[str, float | None]:
    """Median over the rounds of all audio over all work, and tokens per second of audio."""
    if not runs:
        return {"rtfx": None, "tokens_per_s": None}
    times = np.array([(run.duration_s, run.elapsed_s) for run in runs])
    audio, work = times.reshape(AUDIO_ROUNDS, -1, 2).sum(axis=1).T
    tokens = sum(len(run.tokens) for run in runs)
    return {"rtfx": float(np.median(audio / work)), "tokens_per_s": tokens / float(audio.sum())}
