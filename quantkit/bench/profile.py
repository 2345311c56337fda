"""Where the time of an encoder step goes: the operators, by ONNX Runtime's own profiler."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quantkit.bench.step import TimedStep
from quantkit.core.files import temporary_directory
from quantkit.runtime.sessions import open_session

WARM_UP, STEPS = 5, 20

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Kernel:
    """One operator of one step, after the runtime's own fusions."""

    op: str
    seconds: float
    inputs: tuple[Shape, ...]
    """Of what is fed at run time: weights that the runtime has packed are not among them."""
    outputs: tuple[Shape, ...]


def profile_steps(graph: Path, threads: int) -> list[list[Kernel]]:
    """Run STEPS steps of a streaming encoder in a session of their own; the kernels of each.

    Raises:
        InputError: the graph cannot be loaded or is no streaming encoder.
    """
    with temporary_directory() as folder:
        session = open_session(graph, threads, folder / "profile")
        step = TimedStep(session, graph)
        for _ in range(WARM_UP + STEPS):
            step.run()
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    runs = sorted(event["ts"] for event in events if event["name"] == "model_run")
    steps: list[list[Kernel]] = [[] for _ in runs]
    for event in events:
        if event["name"].endswith("_kernel_time"):
            steps[int(np.searchsorted(runs, event["ts"], side="right")) - 1].append(_kernel(event))
    return steps[WARM_UP:]


def by_operator(steps: Sequence[Sequence[Kernel]]) -> list[dict[str, Any]]:
    """Time by operator, the longest first.

    Returns:
        Per operator `op`, `ms_per_step` (median over the steps), `calls` of a step, and `share` of
        the sum of these times. The profiler's own cost is in them.
    """
    seconds: dict[str, list[list[float]]] = defaultdict(lambda: [[] for _ in steps])
    for index, step in enumerate(steps):
        for kernel in step:
            seconds[kernel.op][index].append(kernel.seconds)
    medians = {op: float(np.median([sum(times) for times in all_])) for op, all_ in seconds.items()}
    total = sum(medians.values())
    return [
        {
            "op": op,
            "ms_per_step": 1000 * median,
            "calls": len(seconds[op][0]),
            "share": median / total,
        }
        for op, median in sorted(medians.items(), key=lambda item: -item[1])
    ]


def _kernel(event: dict[str, Any]) -> Kernel:
    about = event["args"]
    inputs, outputs = (
        tuple(tuple(shape) for typed in about[f"{side}_type_shape"] for shape in typed.values())
        for side in ("input", "output")
    )
    return Kernel(about["op_name"], event["dur"] / 1e6, inputs, outputs)
