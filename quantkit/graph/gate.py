"""The numerical gate: a rewrite may move a streamed output by float rounding, and no more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from quantkit.core.errors import QuantkitError
from quantkit.runtime.contract import GraphContract, Role

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


def streamed_outputs(model: Path, graph: GraphContract, chunks: int = CHUNKS) -> Outputs:
    """Run chained steps on seeded noise, from empty states to a short last chunk.

    Every state feeds the input that the contract pairs it with. Noise has unit variance; a length
    is the full window but for the last step. Encoded rows past the encoded length are undefined
    and left out.
    """
    session = ort.InferenceSession(str(model), _options(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(SEED)
    names = [output.name for output in session.get_outputs()]
    features, length = graph.input(Role.FEATURES), graph.input(Role.LENGTH)
    encoded, valid = graph.output(Role.ENCODED), graph.output(Role.ENCODED_LENGTH)
    feeds: dict[str, NDArray[np.generic]] = {}
    results: Outputs = []
    for step in range(chunks):
        for argument in session.get_inputs():
            shape = [size if isinstance(size, int) else OPEN for size in argument.shape]
            if argument.name in graph.states:
                if step == 0:
                    kind = np.int64 if argument.type == "tensor(int64)" else np.float32
                    feeds[argument.name] = np.zeros(shape, dtype=kind)
            elif argument.name == length:
                window = feeds[features].shape[1] if features else 1
                last = window if step < chunks - 1 else window * 3 // 4
                feeds[argument.name] = np.full(shape, last)
            elif argument.type == "tensor(int64)":
                feeds[argument.name] = rng.integers(0, 8, shape)
            else:
                feeds[argument.name] = rng.standard_normal(shape, dtype=np.float32)
        outputs = dict(zip(names, session.run(None, feeds), strict=True))
        feeds.update({before: outputs[after] for before, after in graph.states.items()})
        if encoded is not None and valid is not None:
            outputs[encoded] = outputs[encoded][:, : int(outputs[valid][0])]
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
                    f"{b.shape} instead of {a.shape}"
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
