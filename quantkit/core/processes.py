"""Commands in processes of their own, with what they took."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LINES_SHOWN = 15


@dataclass(frozen=True)
class Finished:
    """What a command took and said: its process's peak memory, and the end of its output."""

    code: int
    seconds: float
    rss_bytes: int
    tail: str


def run_measured(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Finished:
    """Run a command in the directory of `log`, which takes what it prints.

    `environment` is put over that of this process.
    """
    began = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            cwd=log.parent,
            env=os.environ | dict(environment or {}),
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    # ru_maxrss is in KiB on Linux.
    rss_bytes = usage.ru_maxrss * 1024
    return Finished(process.returncode, seconds, rss_bytes, "\n".join(lines[-_LINES_SHOWN:]))
