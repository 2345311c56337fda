"""Who evaluates shards: this process, a pool of processes, or a Dask cluster; workers may die."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.backend import resource_tracker

from quantkit.core.errors import InputError
from quantkit.core.processes import end_with, sheltered
from quantkit.evaluate.results import Results
from quantkit.evaluate.run import open_system, run_shard
from quantkit.evaluate.shards import Shard

#: So many times in a row may workers die before any of them finishes a shard.
ATTEMPTS = 3


class WorkerLostError(Exception):
    """A worker was killed, and with it what it was working on."""


@dataclass(frozen=True)
class Workers:
    """Where shards are evaluated.

    Attributes:
        jobs: processes on this machine; 1 is this process itself.
        dask: address of a Dask scheduler, whose workers are used instead.
    """

    jobs: int = 1
    dask: str | None = None


def finish(shards: Sequence[Shard], root: Path, workers: Workers) -> Iterator[Shard]:
    """Evaluate shards; yield each when its records are kept, in any order.

    What killed workers had not finished is given to new ones.

    Raises:
        InputError: a shard cannot be evaluated, or workers are killed again and again.
        MissingExtraError: a Dask cluster is asked for and Dask is not installed.
    """
    pending = {shard.key: shard for shard in shards}
    killed = 0
    while pending:
        try:
            for key in _evaluate(list(pending.values()), root, workers):
                yield pending.pop(key)
                killed = 0
        except WorkerLostError as error:
            kept = [key for key in pending if _is_kept(pending[key], root)]
            killed = 0 if kept else killed + 1
            if killed == ATTEMPTS:
                raise InputError(_killed(list(pending.values()))) from error
            for key in kept:
                yield pending.pop(key)


def _is_kept(shard: Shard, root: Path) -> bool:
    return Results(root / shard.results).part(shard.name).is_file()


def _killed(pending: Sequence[Shard]) -> str:
    more = f" or one of {len(pending) - 1} other shards" if len(pending) > 1 else ""
    return (
        f"workers were killed {ATTEMPTS} times in a row while they evaluated {pending[0]}{more}. "
        "Most often they ran out of memory: use fewer jobs, or leave out what is too large. All "
        "finished shards are kept"
    )


def _evaluate(shards: Sequence[Shard], root: Path, workers: Workers) -> Iterator[tuple[str, str]]:
    """Evaluate shards; yield the key of each as it is finished.

    Raises:
        WorkerLostError: a worker was killed.
    """
    if workers.dask is not None:
        from quantkit.evaluate.cluster import on_cluster

        return on_cluster(shards, root, workers.dask)
    if workers.jobs == 1:
        return _in_turn(shards, root)
    return _in_pool(shards, root, workers.jobs)


def _in_turn(shards: Sequence[Shard], root: Path) -> Iterator[tuple[str, str]]:
    try:
        for shard in shards:
            yield run_shard(shard, root)
    finally:
        open_system.cache_clear()


def _in_pool(shards: Sequence[Shard], root: Path, jobs: int) -> Iterator[tuple[str, str]]:
    pool = Parallel(
        n_jobs=jobs,
        backend="loky",
        return_as="generator_unordered",
        batch_size=1,
        initializer=end_with,  # also if it was killed
        initargs=(os.getpid(),),
    )
    resource_tracker.ensure_running()  # a process of loky's own, which would end the shelter
    try:
        with sheltered():
            done = pool(delayed(run_shard)(shard, root) for shard in shards)
        yield from done
    except BrokenProcessPool as error:
        raise WorkerLostError from error
    finally:
        get_reusable_executor(reuse=True).shutdown(kill_workers=True)
