"""Whatever is killed, the records and the kept files are those of an undisturbed run."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest

from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.evaluate.evaluation import evaluate
from quantkit.evaluate.results import Results
from quantkit.evaluate.shards import Shard
from quantkit.evaluate.workers import Workers, finish
from tests.evaluate.conftest import Disturbing, graph_parts, tree

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def _workers(of: psutil.Process) -> list[psutil.Process]:
    """The processes of its pool; each is named in its command line."""
    found = []
    for child in of.children():
        with suppress(psutil.NoSuchProcess):
            if any("LokyProcess" in word for word in child.cmdline()):
                found.append(child)
    return found


def _start(work: Path, results: Path, jobs: int) -> subprocess.Popen[str]:
    """An evaluation in a process of its own, after its first shard."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.evaluate.child", str(work), str(results), str(jobs)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "shard\n"
    return child


@pytest.fixture
def work(fp32, int4, speech, tmp_path) -> Path:
    path = tmp_path / "work.pickle"
    path.write_bytes(pickle.dumps(([fp32, int4], speech)))
    return path


def test_killed_in_the_middle(nemo_done, undisturbed, systems, speech, work) -> None:
    child = _start(work, nemo_done, jobs=1)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    kept = tree(nemo_done)
    assert sum(graph_parts(nemo_done).values()) < 2 * len(speech), "nothing was left to do"

    results, records = undisturbed
    assert evaluate(systems, speech, nemo_done, Workers(), Silent()) == records
    assert kept.items() <= tree(nemo_done).items()
    assert tree(nemo_done) == tree(results)
    assert set(graph_parts(nemo_done).values()) == {2}, "something was evaluated twice"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_evaluation(nemo_done, work, how) -> None:
    child = _start(work, nemo_done, jobs=2)
    workers = _workers(psutil.Process(child.pid))
    assert len(workers) == 2
    os.kill(child.pid, how)
    child.wait()
    assert psutil.wait_procs(workers, timeout=10)[1] == []


def test_a_killed_worker_is_replaced(nemo_done, undisturbed, systems, speech) -> None:
    me, before = psutil.Process(), []

    def disturb() -> None:
        before.extend(_workers(me))
        before[0].kill()

    results, records = undisturbed
    found = evaluate(systems, speech, nemo_done, Workers(jobs=2), Disturbing(disturb))
    assert len(before) == 2
    assert found == records
    assert tree(nemo_done) == tree(results)
    assert _workers(me) == []


@contextmanager
def _murderer() -> Iterator[None]:
    """Kills every worker as soon as it is seen."""
    over, me = Event(), psutil.Process()

    def kill() -> None:
        while not over.wait(0.05):
            for worker in _workers(me):
                worker.kill()

    thread = Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_workers_killed_again_and_again_end_it(nemo_done, fp32, speech) -> None:
    with (
        _murderer(),
        pytest.raises(InputError, match=r"killed 3 times in a row .* fp32 on set .* to .*memory"),
    ):
        evaluate([fp32], speech, nemo_done, Workers(jobs=2), Silent())


def test_what_kills_workers_does_not_come_to_this_process(nemo_done, fp32, speech) -> None:
    """Not even if it is all that is left."""
    results = Results.of(fp32, nemo_done)
    shard = Shard(fp32, results.directory.name, (speech[0],))
    with _murderer(), pytest.raises(InputError, match=rf"while they evaluated {shard}\."):
        list(finish([shard], nemo_done, Workers(jobs=2)))


def test_what_is_wrong_in_a_worker_is_said_here(nemo_done, fp32, speech) -> None:
    """And what the others finish stays."""
    wrong = replace(speech[7], audio=nemo_done / "gone.flac")
    with pytest.raises(InputError, match=r"gone\.flac: no such audio file"):
        evaluate([fp32], [*speech[:7], wrong], nemo_done, Workers(jobs=2), Silent())
