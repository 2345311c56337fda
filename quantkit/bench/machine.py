"""The machine that is measured on, and what a process holds of its memory."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import psutil

_CPU_INFO, _STATUS = Path("/proc/cpuinfo"), Path("/proc/self/status")


def machine() -> dict[str, Any]:
    """Processor, cores that may be used, memory, load average (None if unknown) and versions."""
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": {
            "python": platform.python_version(),
            "onnxruntime": ort.__version__,
            "numpy": np.__version__,
        },
    }


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


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
