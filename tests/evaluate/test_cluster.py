"""A real Dask cluster of two workers on this machine."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from distributed import Client, LocalCluster

import quantkit
from quantkit.core.errors import InputError, MissingExtraError
from quantkit.core.progress import Silent
from quantkit.evaluate.cluster import check_workers
from quantkit.evaluate.evaluation import evaluate
from quantkit.evaluate.workers import Workers
from tests.evaluate.conftest import Disturbing, tree

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """A client that cannot connect closes when it is collected, which may block a new one."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    # Dask leaves the settings of its workers' threads in the environment of this process.
    with (
        patch.dict(os.environ),
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
    ):
        yield cluster


@pytest.mark.parametrize(("tolerated", "connections"), [(3, 1), (0, 2)])
def test_a_killed_worker_changes_nothing(
    cluster, tolerated, connections, nemo_done, undisturbed, systems, speech, monkeypatch
) -> None:
    """Dask gives its shards to another worker, or gives up, and then they are looked for again."""
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", tolerated)
    monkeypatch.chdir(nemo_done.parent)
    connected = []

    def check(*given: Any) -> None:
        connected.append(given)
        check_workers(*given)

    monkeypatch.setattr("quantkit.evaluate.cluster.check_workers", check)

    def disturb() -> None:
        os.kill(cluster.workers[0].pid, signal.SIGKILL)

    results, records = undisturbed
    workers = Workers(dask=cluster.scheduler_address)
    found = evaluate(systems, speech, Path(nemo_done.name), workers, Disturbing(disturb))
    assert len(connected) == connections
    assert found == records
    assert tree(nemo_done) == tree(results)


def test_workers_that_would_say_something_else_are_named(
    cluster, nemo_done, fp32, speech, tmp_path
) -> None:
    other = tmp_path / "quantkit"
    shutil.copytree(Path(quantkit.__file__).parent, other)
    with (other / "runtime/mel.py").open("a") as file:
        file.write("# changed\n")
    address = cluster.scheduler_address
    command = ["-m", "distributed.cli.dask_worker", address, "--nthreads", "2", "--no-nanny"]
    with (
        subprocess.Popen(
            [sys.executable, *command, "--no-dashboard"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            stderr=subprocess.DEVNULL,
        ) as stranger,
        Client(address, set_as_default=False) as client,
    ):
        client.wait_for_workers(3, timeout=30)
        with pytest.raises(InputError, match="workers cannot be used") as error:
            evaluate([fp32], speech, nemo_done, Workers(dask=address), Silent())
        stranger.terminate()
    first, *problems = str(error.value).splitlines()
    assert address in first
    assert len(problems) == 2
    assert "quantkit is " in problems[0]
    assert "install the same versions" in problems[0]
    assert "has 2 threads" in problems[1]


def test_a_wrong_clip_is_named(cluster, nemo_done, fp32, speech) -> None:
    wrong = replace(speech[0], audio=nemo_done / "gone.flac")
    with pytest.raises(InputError, match=r"gone\.flac: no such audio file"):
        evaluate([fp32], [wrong], nemo_done, Workers(dask=cluster.scheduler_address), Silent())


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere://x"])
def test_an_address_without_a_scheduler_is_named(
    address, nemo_done, fp32, speech, monkeypatch
) -> None:
    monkeypatch.setattr("quantkit.evaluate.cluster.CONNECT_S", 0.5)
    with pytest.raises(InputError, match=f"--dask {address}: no Dask scheduler"):
        evaluate([fp32], speech, nemo_done, Workers(dask=address), Silent())


def test_a_cluster_without_workers_is_named(nemo_done, fp32, speech, monkeypatch) -> None:
    monkeypatch.setattr("quantkit.evaluate.cluster.CONNECT_S", 0.5)
    with (
        LocalCluster(n_workers=0, dashboard_address=":0") as empty,
        pytest.raises(InputError, match="the scheduler has no worker; start some by 'dask worker"),
    ):
        evaluate([fp32], speech, nemo_done, Workers(dask=empty.scheduler_address), Silent())


def test_dask_is_needed_only_with_an_address(nemo_done, fp32, speech, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    evaluate([fp32], speech[:1], nemo_done, Workers(), Silent())
    with pytest.raises(MissingExtraError, match=r"quantkit\[cluster\]"):
        evaluate([fp32], speech, nemo_done, Workers(dask="tcp://127.0.0.1:9"), Silent())
