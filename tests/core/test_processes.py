from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import psutil
import pytest

from quantkit.core.processes import run_measured, sheltered


def test_a_command_is_timed_and_its_end_shown(tmp_path: Path) -> None:
    code = (
        "import os, time; time.sleep(0.3); print('a' * 9 + os.environ['WORD']); raise SystemExit(3)"
    )
    done = run_measured([sys.executable, "-c", code], tmp_path / "log", {"WORD": "said"})
    assert (done.code, done.tail) == (3, "aaaaaaaaasaid")
    assert 0.3 < done.seconds < 30
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


@pytest.mark.slow
def test_memory_is_the_commands_own(tmp_path: Path) -> None:
    ballast = np.ones(60_000_000)  # this process is big; the command is not
    small = run_measured([sys.executable, "-c", "pass"], tmp_path / "small")
    big = run_measured([sys.executable, "-c", "x = bytearray(200_000_000)"], tmp_path / "big")
    assert small.rss_bytes < 100e6 < ballast.nbytes
    assert 200e6 < big.rss_bytes < 300e6


_PARENT = """
import sys
from pathlib import Path
from quantkit.core.processes import run_measured
code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
run_measured([sys.executable, "-c", code], Path("log"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_command_ends_with_the_one_that_started_it(tmp_path: Path, how: signal.Signals) -> None:
    command = ["env", "--default-signal=INT", sys.executable, "-c", _PARENT]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    log = tmp_path / "log"
    while not (log.exists() and log.read_text().endswith("\n")):
        time.sleep(0.05)
    running = [psutil.Process(int(log.read_text())), *psutil.Process(parent.pid).children()]
    parent.send_signal(how)
    parent.wait()
    assert psutil.wait_procs(running, timeout=10)[1] == []
    assert log.read_text().count("\n") == 1, "it complained"


def test_sheltered_processes_do_not_hear_ctrl_c() -> None:
    code = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    told = []
    for shelter in (nullcontext(), sheltered()):
        with shelter:
            told.append(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE).stdout)
    assert told == [b"False\n", b"True\n"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
