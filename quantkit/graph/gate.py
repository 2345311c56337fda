"""The numerical gate: a rewrite may move a streamed output by float rounding, and no more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from quantkit.core.errors import QuantkitError

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


def streamed_outputs(model: Path, chunks: int = CHUNKS) -> Outputs:
    """Run chained steps on seeded noise, from empty caches to a short last chunk.

    Every output `NAME_next` feeds the input `NAME` of the following step. Noise has unit variance,
    integer inputs are: `length` the full window but for the last step, states as fed back.
    """
    session = ort.InferenceSession(str(model), _options(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(SEED)
    names = [output.name for output in session.get_outputs()]
    states = {name.removesuffix("_next") for name in names if name.endswith("_next")}
    feeds: dict[str, NDArray[np.generic]] = {}
    results: Outputs = []
    for step in range(chunks):
        for argument in session.get_inputs():
            shape = [size if isinstance(size, int) else OPEN for size in argument.shape]
            if argument.name in states:
                if step == 0:
                    kind = np.int64 if argument.type == "tensor(int64)" else np.float32
                    feeds[argument.name] = np.zeros(shape, dtype=kind)
            elif argument.name == "length":
                window = feeds["features"].shape[1]
                last = window if step < chunks - 1 else window * 3 // 4
                feeds["length"] = np.full(shape, last)
            elif argument.type == "tensor(int64)":
                feeds[argument.name] = rng.integers(0, 8, shape)
            else:
                feeds[argument.name] = rng.standard_normal(shape, dtype=np.float32)
        outputs = dict(zip(names, session.run(None, feeds), strict=True))
        results.append(outputs)
        feeds.update({name: outputs[f"{name}_next"] for name in states})
    return results


def check(name: str, reference: Outputs, candidate: Outputs) -> float:
    """Largest difference over outputs and steps, relative to the output's own largest value.

    Rows of `encoded` past `encoded_length` are undefined and left out.

    Raises:
        FusionError: it is beyond float rounding.
    """
    error, output, step = 0.0, "", 0
    for index, (expected, actual) in enumerate(zip(reference, candidate, strict=True)):
        for key in expected:
            a, b = _valid(key, expected), _valid(key, actual)
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


def _valid(name: str, outputs: dict[str, NDArray[np.generic]]) -> NDArray[np.float64]:
    values = outputs[name].astype(np.float64)
    return values[:, : int(outputs["encoded_length"][0])] if name == "encoded" else values


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    # The runtime's own fusions would hide what a rewrite did, and cost time here.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    # Packing the weights takes longer than the few steps that would gain by it.
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.log_severity_level = 3
    return options
