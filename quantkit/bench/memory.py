"""What a process holds in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Memory:
    """Bytes of this process."""

    rss_bytes: int
    """Resident now."""
    uss_bytes: int
    """Of these, what no other process shares: what would be free if this one ended."""
    rss_peak_bytes: int | None
    """The most that was resident so far; None where the system does not tell."""


def memory() -> Memory:
    """What this process holds now."""
    found = psutil.Process().memory_full_info()
    return Memory(found.rss, found.uss, _peak())


def _peak() -> int | None:
    # Not getrusage: its peak includes that of the program that started this one.
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
