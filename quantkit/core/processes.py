"""Commands in processes of their own, with what they took.

The kernel counts what a process had in memory before it became another program as that program's,
so a big process cannot measure its own children. A small one in between can: this module, run as
`python -m quantkit.core.processes REPORT COMMAND...`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
    report = log.with_name(f"{log.name}.report")
    between = [sys.executable, "-m", __name__, str(report.resolve()), *command]
    with log.open("wb") as output:
        subprocess.run(
            between,
            stdout=output,
            stderr=output,
            cwd=log.parent,
            env=os.environ | dict(environment or {}),
            check=True,
        )
    took = json.loads(report.read_text(encoding="utf-8"))
    report.unlink()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return Finished(**took, tail="\n".join(lines[-_LINES_SHOWN:]))


def _run(report: Path, command: Sequence[str]) -> None:
    began = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    # ru_maxrss is in KiB on Linux.
    took = {"code": os.waitstatus_to_exitcode(status), "seconds": seconds}
    took["rss_bytes"] = usage.ru_maxrss * 1024
    report.write_text(json.dumps(took), encoding="utf-8")


if __name__ == "__main__":
    _run(Path(sys.argv[1]), sys.argv[2:])
