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
from dataclasses import asdict, dataclass
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
    """What became of a graph.

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


@dataclass(frozen=True)
class _Request:
    model: str
    inputs: list[str]
    report: str
    outputs: str
    memory: int
    parent: int
    quick: bool


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
    request = _Request(
        model=str(model.absolute()),
        inputs=[str(path.absolute()) for path in inputs],
        report=str(report.absolute()),
        outputs=str(outputs.absolute()),
        memory=BYTES + _BYTES_PER_BYTE * weights,
        parent=os.getpid(),
        quick=quick,
    )
    said: dict[str, Any] = {"loaded": None, "fed": None, "problem": ""}
    report.write_text(json.dumps(said), encoding="utf-8")
    limit = SECONDS + _SECONDS_PER_BYTE * weights
    places = [str(Path(__file__).parents[2]), *filter(None, sys.path)]
    try:
        ended = subprocess.run(
            [sys.executable, "-m", __name__],
            input=json.dumps(asdict(request)).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
            timeout=limit,
            check=False,
        )
        said = json.loads(report.read_text(encoding="utf-8"))
        if ended.returncode:
            said |= {"loaded": said["loaded"] or False, "fed": None}
            said["problem"] = _ending(ended.returncode, ended.stderr.decode(errors="replace"))
    except subprocess.TimeoutExpired:
        said = json.loads(report.read_text(encoding="utf-8"))
        said |= {"fed": None, "problem": f"it takes longer than {math.ceil(limit)} s"}
    arrays = {}
    if said["fed"] is not None:
        with np.load(outputs, allow_pickle=False) as archive:
            arrays = {name: archive[str(index)] for index, name in said.pop("names")}
    for path in (report, outputs):
        path.unlink(missing_ok=True)
    return Ran(said["loaded"], said["fed"], said["problem"], arrays)


def _ending(code: int, words: str) -> str:
    if code < 0:
        return f"ONNX Runtime crashes ({signal.Signals(-code).name})"
    last = (words.strip().splitlines() or [""])[-1]
    return f"ONNX Runtime ends with {code}: {last}"


def _compute(request: _Request) -> None:
    import onnxruntime as ort

    # Mapped files do not count.
    resource.setrlimit(resource.RLIMIT_DATA, (request.memory, request.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    said: dict[str, Any] = {"loaded": False, "fed": None, "problem": ""}

    def report() -> None:
        # The folder of one that was killed may be another's by now.
        if os.getppid() != request.parent:
            sys.exit(1)
        partial = Path(f"{request.report}.new")
        partial.write_text(json.dumps(said), encoding="utf-8")
        partial.replace(request.report)

    options = ort.SessionOptions()
    options.log_severity_level = 4
    if request.quick:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        session = ort.InferenceSession(
            request.model, options, providers=["CPUExecutionProvider"], disable_fallback=True
        )
    # pybind11 gives errors of the runtime many types.
    except Exception as error:  # noqa: BLE001
        said["problem"] = str(error)
        report()
        return
    said["loaded"] = True
    report()
    known = {value.name for value in session.get_inputs()}
    for index, path in enumerate(request.inputs):
        with np.load(path, allow_pickle=False) as archive:
            feeds = {name: archive[name] for name in archive.files if name in known}
        try:
            found = session.run(None, feeds)
        except Exception as error:  # noqa: BLE001
            said["problem"] = str(error)
            continue
        names = [value.name for value in session.get_outputs()]
        arrays = {
            index: array
            for index, array in enumerate(found)
            if isinstance(array, np.ndarray) and array.dtype.kind in "biufc"
        }
        report()
        with Path(request.outputs).open("wb") as file:
            np.savez(file, allow_pickle=False, **{str(key): value for key, value in arrays.items()})
        said |= {"fed": index, "problem": "", "names": [(key, names[key]) for key in arrays]}
        break
    report()


if __name__ == "__main__":
    _compute(_Request(**json.load(sys.stdin)))
