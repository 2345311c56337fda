from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from quantkit.core.processes import run_measured


def test_a_command_is_timed_and_its_end_shown(tmp_path: Path) -> None:
    code = (
        "import os, time; time.sleep(0.3); print('a' * 9 + os.environ['WORD']); raise SystemExit(3)"
    )
    done = run_measured([sys.executable, "-c", code], tmp_path / "log", {"WORD": "said"})
    assert (done.code, done.tail) == (3, "aaaaaaaaasaid")
    assert 0.3 < done.seconds < 30
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_memory_is_the_commands_own(tmp_path: Path) -> None:
    ballast = np.ones(60_000_000)  # this process is big; the command is not
    small = run_measured([sys.executable, "-c", "pass"], tmp_path / "small")
    big = run_measured([sys.executable, "-c", "x = bytearray(200_000_000)"], tmp_path / "big")
    assert small.rss_bytes < 100e6 < ballast.nbytes
    assert 200e6 < big.rss_bytes < 300e6
