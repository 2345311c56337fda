"""Loops are compiled once where that can be kept, and each time where it cannot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_LOOP = """
import numpy as np
from quantkit.quantize.schemes.compiled import serial

@serial
def total(values):
    found = 0.0
    for value in values:
        found += value
    return found

print(total(np.arange(4.0)), sum(total.stats.cache_hits.values()))
"""


def _run(folder: Path, **environment: str) -> str:
    """What the loop finds, and how many compiled loops were there."""
    (folder / "loop.py").write_text(_LOOP)
    os.utime(folder / "loop.py", (0, 0))  # the cache asks whether the file has changed
    own = {"PYTHONPATH": str(Path(__file__).parents[3]), "NUMBA_CACHE_DIR": str(folder / "cache")}
    locator = "numba.core.caching.UserProvidedCacheLocator"
    own |= {"NUMBA_CACHE_LOCATOR_CLASSES": locator} | environment
    done = subprocess.run(
        [sys.executable, "loop.py"],
        cwd=folder,
        env=os.environ | own,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_loops_are_kept(tmp_path) -> None:
    assert [_run(tmp_path) for _ in range(2)] == ["6.0 0\n", "6.0 1\n"]
    for path in (tmp_path / "cache").rglob("*.nb?"):
        path.write_bytes(path.read_bytes()[:200])  # as a full disk leaves them
    assert [_run(tmp_path) for _ in range(2)] == ["6.0 0\n", "6.0 1\n"]


def test_without_a_place_they_are_compiled_in_memory(tmp_path) -> None:
    (tmp_path / "file").touch()
    assert _run(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "file")) == "6.0 0\n"


def test_a_full_disk_is_no_reason_to_stop(tmp_path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import numba.core.caching as caching\n"
        "def full(*_):\n    raise OSError(28, 'No space left on device')\n"
        "caching.IndexDataCacheFile.save = full\n"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[3])])
    assert _run(tmp_path, PYTHONPATH=path) == "6.0 0\n"
