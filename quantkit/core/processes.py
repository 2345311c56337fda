"""Processes that end with the one that started them, and what commands took.

The kernel counts what a process had in memory before it became another program as that program's,
so a big process cannot measure its own children. A small one in between can: this module, run as
`python -m quantkit.core.processes REPORT PARENT COMMAND...`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from threading import Thread

_LINES_SHOWN = 15
_LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Finished:
    """What a command took and said: its process's peak memory, and the end of its output."""

    code: int
    seconds: float
    rss_bytes: int
    tail: str


@contextmanager
def sheltered() -> Iterator[None]:
    """Processes that start in the block never see Ctrl-C: this one hears it, and ends them."""
    resource_tracker.ensure_running()  # which would lift the mask if it started in the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with(parent: int, end: Callable[[], object] = lambda: os._exit(1)) -> None:
    """From now on end this process when its parent has ended, however that was."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY_S)
        end()

    Thread(target=watch, daemon=True).start()


def run_measured(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Finished:
    """Run a command in the directory of `log`, which takes what it prints.

    `environment` is put over that of this process. The command and what it starts end with this
    process, or when the call is interrupted.
    """
    report = log.with_name(f"{log.name}.report")
    between = [sys.executable, "-m", __name__, str(report.resolve()), str(os.getpid()), *command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            between,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=log.parent,
            env=os.environ | dict(environment or {}),
            start_new_session=True,
        )
        try:
            code = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if code:
        raise subprocess.CalledProcessError(code, between)
    took = json.loads(report.read_text(encoding="utf-8"))
    report.unlink()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return Finished(**took, tail="\n".join(lines[-_LINES_SHOWN:]))


def _run(report: Path, parent: int, command: Sequence[str]) -> None:
    end_with(parent, lambda: os.killpg(0, signal.SIGKILL))
    began = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    # ru_maxrss is in KiB on Linux.
    took = {"code": os.waitstatus_to_exitcode(status), "seconds": seconds}
    took["rss_bytes"] = usage.ru_maxrss * 1024
    report.write_text(json.dumps(took), encoding="utf-8")


if __name__ == "__main__":
    _run(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
