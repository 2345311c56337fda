"""Shards on a Dask cluster, whose machines see the same files at the same paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from joblib.parallel import ParallelBackendBase

from quantkit.core.errors import InputError, MissingExtraError
from quantkit.core.files import PARTIAL, scratch_directory
from quantkit.evaluate.keys import system_versions
from quantkit.evaluate.run import run_shard
from quantkit.evaluate.shards import Shard
from quantkit.evaluate.system import NemoSystem, System
from quantkit.evaluate.workers import WorkerLostError

#: Seconds that a scheduler, and then a first worker, may take to answer.
CONNECT_S = 10


class ClientBackend(ParallelBackendBase):  # type: ignore[misc]
    """Runs joblib's calls by a Dask client.

    joblib's own Dask backend waits for ever once Dask gives up a task whose workers were killed:
    it never tells joblib of it (joblib 1.6, `DaskDistributedBackend._collect`).
    """

    supports_retrieve_callback = True

    def __init__(self, client: Any) -> None:
        super().__init__()
        self._executor = client.get_executor(pure=False)
        self._client = client

    def effective_n_jobs(self, n_jobs: int) -> int:  # noqa: ARG002
        return sum(self._client.nthreads().values())

    def submit(
        self, func: Callable[[], Any], callback: Callable[[Future[Any]], None] | None = None
    ) -> Future[Any]:
        future: Future[Any] = self._executor.submit(func)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, future: Future[Any]) -> Any:
        return future.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: ARG002, FBT001, FBT002
        self._executor.shutdown(wait=False)


def on_cluster(shards: Sequence[Shard], root: Path, address: str) -> Iterator[tuple[str, str]]:
    """Evaluate shards by the workers of the scheduler at `address`; yield the keys of the finished.

    Raises:
        InputError: there is no such scheduler, or its workers cannot be used; see `check_workers`.
        MissingExtraError: Dask is not installed.
        WorkerLostError: workers were killed more often than Dask tolerates for one shard, or the
            scheduler was.
    """
    try:
        from distributed import Client, KilledWorker
    except ModuleNotFoundError:
        raise MissingExtraError("distributed", "cluster") from None
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise InputError(
            f"--dask {address}: no Dask scheduler answers there ({error}); accepted: the address "
            "that 'dask scheduler' prints, such as tcp://10.0.0.1:8786"
        ) from error
    root = root.absolute()
    work = [_anywhere(shard) for shard in shards]
    with client:
        check_workers(client, address, {shard.system for shard in work}, root)
        pool = Parallel(
            n_jobs=-1,
            backend=ClientBackend(client),
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch="all",  # so that workers that join later find something to do
        )
        try:
            yield from pool(delayed(run_shard)(shard, root) for shard in work)
        except (KilledWorker, CancelledError) as error:
            raise WorkerLostError from error


def check_workers(client: Any, address: str, systems: set[System], root: Path) -> None:
    """Refuse workers whose records would be others than those computed here, or would be lost.

    Raises:
        InputError: there is no worker, or one has several threads, another quantkit or another
            version of a library, or does not see the directory of results; all of them named.
    """
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except TimeoutError:
        raise InputError(
            f"--dask {address}: the scheduler has no worker; start some by "
            f"'dask worker {address} --nthreads 1'"
        ) from None
    expected = {system: system_versions(system) for system in systems}
    threads = client.nthreads()
    with scratch_directory(root / f".seen{PARTIAL}") as probe:
        answers = client.run(_inspect, systems, probe, on_error="return")
    problems = [
        f"  - {worker}: {problem}"
        for worker, answer in sorted(answers.items())
        for problem in _problems(answer, expected, threads[worker], root)
    ]
    if problems:
        raise InputError(f"--dask {address}: workers cannot be used\n" + "\n".join(problems))


def _inspect(systems: set[System], probe: Path) -> tuple[dict[System, Mapping[str, str]], bool]:
    """What a worker tells of itself."""
    return {system: system_versions(system) for system in systems}, probe.exists()


def _problems(
    answer: Any, expected: Mapping[System, Mapping[str, str]], threads: int, root: Path
) -> Iterator[str]:
    if isinstance(answer, BaseException):
        yield f"cannot run quantkit ({type(answer).__name__}: {answer}); install it there"
        return
    versions, sees = answer
    different = {
        f"{name} is {versions[system].get(name)} there and {version} here"
        for system, wanted in expected.items()
        for name, version in wanted.items()
        if versions[system].get(name) != version
    }
    if different:
        yield f"{', '.join(sorted(different))}; install the same versions"
    if not sees:
        yield f"does not see {root}; share the directory under the same path"
    if threads != 1:
        yield f"has {threads} threads; start it with --nthreads 1"


def _anywhere(shard: Shard) -> Shard:
    """The shard with paths that mean the same in any working directory."""
    system = shard.system
    if isinstance(system, NemoSystem):
        system = replace(system, checkpoint=system.checkpoint.absolute())
    else:
        system = replace(system, model=system.model.absolute())
    utterances = [
        replace(utterance, audio=utterance.audio.absolute()) for utterance in shard.utterances
    ]
    return replace(shard, system=system, utterances=tuple(utterances))
