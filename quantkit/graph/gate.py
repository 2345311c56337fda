"""The numerical gate: a rewrite may move a streamed output by float rounding, and no more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from quantkit.core.errors import QuantkitError
from quantkit.runtime.contract import Graph

Outputs = list[dict[str, NDArray[np.generic]]]

# Float32 rounding through 24 layers stays below 1e-5 of an output's largest value; a dropped
# factor or mask moves outputs by whole units.
TOLERANCE = 5e-5
CHUNKS = 5
SEED = 20261123
# Taken for sizes that a graph leaves open: streams of a batch, frames of the joint.
OPEN = 2


class FusionError(QuantkitError):
    """A rewrite changed the numbers, and is refused."""


def streamed_outputs(model: Path, graph: Graph, chunks: int = CHUNKS) -> Outputs:
    """Run chained steps on seeded noise, from empty states to a short last chunk.

    Noise has unit variance, integer inputs are: the full window's length but for the last step,
    states as fed back. Encoded rows past their length are undefined and left out.
    """
    session = ort.InferenceSession(str(model), _options(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(SEED)
    names = [output.name for output in session.get_outputs()]
    shapes = {
        port.name: [size if isinstance(size, int) else OPEN for size in port.shape]
        for port in graph.inputs
    }
    feeds: dict[str, NDArray[np.generic]] = {
        port.name: np.zeros(shapes[port.name], port.type) for port in graph.inputs if port.next
    }
    results: Outputs = []
    for step in range(chunks):
        for port in graph.inputs:
            shape = shapes[port.name]
            if port.role == "length":
                window = shapes[graph.input("features")][1]
                feeds[port.name] = np.full(shape, window if step < chunks - 1 else window * 3 // 4)
            elif port.next is None and port.type == "int64":
                feeds[port.name] = rng.integers(0, 8, shape)
            elif port.next is None:
                feeds[port.name] = rng.standard_normal(shape, dtype=np.float32)
        outputs = dict(zip(names, session.run(None, feeds), strict=True))
        feeds.update({before: outputs[after] for before, after in graph.states.items()})
        if graph.runs == "chunk":
            encoded, length = graph.output("encoded"), graph.output("encoded_length")
            outputs[encoded] = outputs[encoded][:, : int(outputs[length][0])]
        results.append(outputs)
    return results


def check(name: str, reference: Outputs, candidate: Outputs) -> float:
    """Largest difference over outputs and steps, relative to the output's own largest value.

    Raises:
        FusionError: it is beyond float rounding.
    """
    error, output, step = 0.0, "", 0
    for index, (expected, actual) in enumerate(zip(reference, candidate, strict=True)):
        for key in expected:
            a, b = (outputs[key].astype(np.float64) for outputs in (expected, actual))
            if a.shape != b.shape:
                raise FusionError(
                    f"rewrite {name!r} is refused: output {key!r} of step {index} has the shape "
                    f"{list(b.shape)} instead of {list(a.shape)}"
                )
            difference = np.nan_to_num(np.abs(a - b), nan=np.inf).max(initial=0)
            moved = float(difference / max(1.0, np.abs(a).max(initial=0)))
            if moved > error:
                error, output, step = moved, key, index
    if not error <= TOLERANCE:
        raise FusionError(
            f"rewrite {name!r} is refused: output {output!r} of step {step} moved by {error:.2e} "
            f"of its largest value; float rounding stays below {TOLERANCE:.0e}"
        )
    return error


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    # The runtime's own fusions would hide what a rewrite did, and cost time here.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    # Packing the weights takes longer than the few steps that would gain by it.
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.log_severity_level = 3
    return options
