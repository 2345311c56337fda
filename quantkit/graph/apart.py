"""ONNX Runtime in a process of its own: a graph that crashes it, hangs or is huge ends only that.

`python -m quantkit.graph.apart` reads one request as JSON from its standard input.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: What a graph may take, and what it may take more for each byte of its files.
SECONDS, BYTES = 30.0, 4 << 30
_SECONDS_PER_BYTE, _BYTES_PER_BYTE = 1 / 50e6, 4
_REPORT = "report.json"


@dataclass(frozen=True)
class Ran:
    """What a child process found out about a graph.

    Attributes:
        loaded: whether ONNX Runtime opened it; None where that took too long or too much memory.
        fed: index of the inputs that it computed with; None if it refused all.
        problem: what ONNX Runtime said last, empty if nothing.
        outputs: by name, those that are arrays of numbers; empty unless it computed.
    """

    loaded: bool | None
    fed: int | None
    problem: str
    outputs: dict[str, NDArray[Any]]


def run_apart(
    model: Path, inputs: Sequence[Path], folder: Path, *, weights: int, quick: bool
) -> Ran:
    """Open a graph and compute with the first of some inputs that it takes.

    Args:
        model: the ONNX file.
        inputs: .npz files with the inputs by name.
        folder: existing directory for what the process leaves, which is read and removed.
        weights: bytes of the graph's constants, which time and memory are measured out by.
        quick: whether to leave out the optimizations that pay in the long run.
    """
    report, outputs = folder / _REPORT, folder / "outputs.npz"
    request = {
        "model": str(model.absolute()),
        "inputs": [str(path.absolute()) for path in inputs],
        "report": str(report.absolute()),
        "outputs": str(outputs.absolute()),
        "memory": BYTES + _BYTES_PER_BYTE * weights,
        "parent": os.getpid(),
        "quick": quick,
    }
    report.write_text(json.dumps({"loaded": None, "fed": None, "problem": ""}), encoding="utf-8")
    limit = SECONDS + _SECONDS_PER_BYTE * weights
    places = [str(Path(__file__).parents[2]), *filter(None, sys.path)]
    problem, crashed = "", False
    try:
        ended = subprocess.run(
            [sys.executable, "-m", __name__],
            input=json.dumps(request).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
            timeout=limit,
            check=False,
        )
        if ended.returncode:
            problem = _ending(ended.returncode, ended.stderr.decode(errors="replace"))
            crashed = True
    except subprocess.TimeoutExpired:
        problem = f"it takes longer than {math.ceil(limit)} s"
    told = json.loads(report.read_text(encoding="utf-8"))
    if problem:
        told |= {"fed": None, "problem": problem}
    arrays = {}
    if told["fed"] is not None:
        with np.load(outputs, allow_pickle=False) as archive:
            arrays = {name: archive[key] for key, name in told["names"]}
    for path in (report, outputs):
        path.unlink(missing_ok=True)
    loaded = False if crashed and told["loaded"] is None else told["loaded"]
    return Ran(loaded, told["fed"], told["problem"], arrays)


def _ending(code: int, words: str) -> str:
    if code < 0:
        return f"ONNX Runtime crashes ({signal.Signals(-code).name})"
    last = (words.strip().splitlines() or [""])[-1]
    return f"ONNX Runtime ends with {code}: {last}"


def _compute(
    model: str,
    inputs: list[str],
    report: str,
    outputs: str,
    memory: int,
    parent: int,
    *,
    quick: bool,
) -> None:
    import onnxruntime as ort

    # Mapped files do not count.
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    told: dict[str, Any] = {"loaded": False, "fed": None, "problem": ""}

    def tell(**facts: object) -> None:
        # The folder of one that was killed may be another's by now.
        if os.getppid() != parent:
            sys.exit(1)
        told.update(facts)
        partial = Path(f"{report}.new")
        partial.write_text(json.dumps(told), encoding="utf-8")
        partial.replace(report)

    options = ort.SessionOptions()
    options.log_severity_level = 4
    if quick:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        session = ort.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], disable_fallback=True
        )
    # pybind11 gives errors of the runtime many types.
    except Exception as error:  # noqa: BLE001
        tell(problem=str(error))
        return
    tell(loaded=True)
    known = {value.name for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    for index, path in enumerate(inputs):
        with np.load(path, allow_pickle=False) as archive:
            feeds = {name: archive[name] for name in archive.files if name in known}
        try:
            results = session.run(None, feeds)
        except Exception as error:  # noqa: BLE001
            tell(problem=str(error))
            continue
        arrays = {
            str(number): array
            for number, array in enumerate(results)
            if isinstance(array, np.ndarray) and array.dtype.kind in "biufc"
        }
        tell()
        with Path(outputs).open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        tell(fed=index, problem="", names=[(key, names[int(key)]) for key in arrays])
        return


if __name__ == "__main__":
    _compute(**json.load(sys.stdin))
