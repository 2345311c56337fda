"""Speed and memory of one model, measured beside the fp32 graphs and kept."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from quantkit.bench.machine import machine
from quantkit.bench.steps import bench
from quantkit.build.progress import StageProgress
from quantkit.core import shapes
from quantkit.core.errors import InputError
from quantkit.core.files import sha256_json
from quantkit.core.integrity import read_kept, write_kept
from quantkit.core.versions import code_digest
from quantkit.report.schema import Bench, Ratio

ROUNDS = 25


@dataclass(frozen=True)
class BenchTarget:
    """A directory of graphs, or a checkpoint, and its digest."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Conditions:
    """What every target of a comparison has in common.

    Attributes:
        fp32: the graphs that others are measured beside, round by round.
        chunk_ms: length of a chunk.
        audio: speech for the whole recognizer.
        threads: of the encoder.
        kept: directory of earlier measurements.
    """

    fp32: BenchTarget
    chunk_ms: int
    audio: BenchTarget
    threads: int
    kept: Path


def measure(
    name: str, target: BenchTarget, conditions: Conditions, progress: StageProgress
) -> Bench:
    """Time a target's steps and its whole recognizer, or find what was measured before.

    A measurement holds for the machine, versions and code that it was made with.
    """
    facts = machine()
    on = f"{facts['processor']}, {facts['cores']} cores"
    subjects = [conditions.fp32.sha256, target.sha256, conditions.audio.sha256]
    rest = [conditions.chunk_ms, conditions.threads, ROUNDS, on, facts["versions"]]
    key = sha256_json([*subjects, *rest, code_digest("quantkit.bench.steps")])
    path = conditions.kept / f"{key}.json"
    if path.exists():
        with contextlib.suppress(OSError):
            os.utime(path)  # when it was used last
        return _kept(path)
    alone = target.sha256 == conditions.fp32.sha256
    paths = [target.path] if alone else [conditions.fp32.path, target.path]
    with progress.stage(f"speed of {name}"):
        threads, audio = [conditions.threads], [conditions.audio.path]
        found = bench(paths, threads, ROUNDS, audio, progress, conditions.chunk_ms)
    row, pairs = found["candidates"][-1], found["pairs"]
    measured = Bench(
        machine=on,
        threads=conditions.threads,
        step_p50_ms=row["step_ms"]["p50"],
        step_p95_ms=row["step_ms"]["p95"],
        rtfx=row["rtfx"],
        load_s=row["load_s"],
        rss_bytes=row["rss_bytes"],
        faster_than_fp32=_ratio(pairs[0]) if pairs else None,
    )
    write_kept(path, measured.model_dump(mode="json"))
    return measured


def _kept(path: Path) -> Bench:
    """An earlier measurement.

    Raises:
        InputError: the file is damaged.
    """
    try:
        return Bench.model_validate(read_kept(path, shapes.record({})))
    except ValidationError as error:
        raise InputError(
            f"{path}: this is no measurement ({error.errors()[0]['msg']}); delete the file and run "
            "the command again, which measures anew"
        ) from error


def _ratio(pair: dict[str, Any]) -> Ratio:
    return Ratio(median=pair["ratio_median"], low=pair["ratio_low"], high=pair["ratio_high"])
