"""A quantized file opened and held against the float model on the same inputs.

On inputs that are made up, weights with a relative error e move an output by about that much, and
the errors of several add up like noise. What moves it by far more is no rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantkit.core.errors import InputError
from quantkit.graph.apart import Ran, run_apart
from quantkit.graph.files import load_model, save_model, stored_bytes
from quantkit.graph.product_forms import expose_products
from quantkit.graph.random_inputs import save_random_inputs
from quantkit.quantize.inventory import GraphReport

#: How much further than the sum of what explains it an output may be off.
FACTOR = 5.0
#: Off by its own size, an output says nothing, whatever the widths.
_MOST = 1.0
#: What activations in 8 bits add to the relative error of a product.
ACTIVATIONS = 0.02
#: What computes something else each time.
_CHANCE = {
    *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
    *("Bernoulli", "Multinomial"),
}

_RUNS_BUT, _TRY = "runs, but is not compared with", "try it on real inputs before use"

Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class FloatRun:
    """What a float model computed.

    Attributes:
        inputs: what it computed with; None if nothing.
        problem: why there are none.
        outputs: by name.
        by_chance: whether it computes something else each time.
    """

    inputs: Path | None
    problem: str
    outputs: Outputs
    by_chance: bool


def run_float(model: Path, graph: ir.Model, calibration: Sequence[Path], folder: Path) -> FloatRun:
    """Open a float model and compute with the first inputs of the calibration, or with random ones.

    Args:
        model: the ONNX file.
        graph: what is in it.
        calibration: .npz files with the inputs of one run each; may be empty.
        folder: existing directory for the inputs.

    Raises:
        InputError: ONNX Runtime does not load the model, or does not compute with the calibration.
    """
    inputs = [*calibration[:1]] or save_random_inputs(graph, folder)
    ran = run_apart(model, inputs, folder, weights=stored_bytes(graph), quick=True)
    if ran.loaded is False:
        raise InputError(f"{model}: ONNX Runtime cannot load it: {ran.problem}")
    problem = ran.problem or "inputs of its types and sizes cannot be made up"
    if calibration and ran.fed is None:
        # What crashes, hangs or is huge would do so to this process next.
        raise InputError(f"{model.name}: calibration run 1 fails: {problem}")
    by_chance = any(node.op_type in _CHANCE for node in graph.graph.all_nodes())
    return FloatRun(
        None if ran.fed is None else inputs[ran.fed], problem, ran.outputs, by_chance=by_chance
    )


def check_file(
    quantized: Path, model: Path, before: FloatRun, report: GraphReport, folder: Path
) -> list[str]:
    """Open a quantized file and compare its outputs with those of the float model.

    Args:
        quantized: the ONNX file that was written.
        model: the float model.
        before: what that computed.
        report: on the quantized file.
        folder: existing directory for what is written meanwhile.

    Returns:
        What a user should know: that it was not compared, or is further off than the widths
        explain.

    Raises:
        InputError: ONNX Runtime does not load it, refuses the inputs, or computes NaN or infinite
            numbers where the float model does not.
    """
    files = [] if before.inputs is None else [before.inputs]
    size = stored_bytes(load_model(quantized))
    after = run_apart(quantized, files, folder, weights=size, quick=False)
    if after.loaded is False or (files and after.fed is None and after.loaded):
        what = "cannot load" if after.loaded is False else "cannot run"
        raise InputError(
            f"{model}: ONNX Runtime {what} what quantization makes of it ({after.problem}); "
            "nothing was written. Choose another scheme, and report it with the model's graph"
        )
    if not files or after.fed is None:
        return [
            f"loaded, but not compared with {model.name}: {after.problem or before.problem}; {_TRY}"
        ]
    return _compare(quantized, model, before, after, report, folder)


def _compare(
    quantized: Path, model: Path, before: FloatRun, after: Ran, report: GraphReport, folder: Path
) -> list[str]:
    explained = _explained(report)
    errors = dict(_errors(before.outputs, after.outputs))
    if infinite := [name for name, error in errors.items() if not np.isfinite(error)]:
        raise InputError(
            f"{model}: what quantization makes of it computes NaN or infinite numbers in "
            f"{infinite[0]!r} where the model itself does not; nothing was written. Choose another "
            "scheme, or exclude the tensors with the largest weights"
        )
    for name, error in errors.items():
        if error > _limit(explained):
            if before.by_chance:
                return [f"{_RUNS_BUT} {model.name}, which draws random numbers; {_TRY}"]
            tensor = _first_off(quantized, model, before, report, folder)
            return [
                f"on the same inputs the output {name!r} is {error:.1%} off, where the widths "
                f"explain {explained:.1%}; it begins at tensor {tensor!r}: exclude it, or compare "
                "on real inputs before use"
            ]
    if not errors:
        return [f"{_RUNS_BUT} {model.name}: no output has finite floats on made-up inputs; {_TRY}"]
    return []


def _limit(explained: float) -> float:
    return min(FACTOR * explained, _MOST)


def _explained(report: GraphReport) -> float:
    """The relative error of an output that all quantized tensors would make together."""
    errors = [tensor["relative_error"] for tensor in report["tensors"] if tensor["bits"] <= 8]
    return math.sqrt(sum(error**2 + ACTIVATIONS**2 for error in errors))


def _errors(before: Outputs, after: Outputs) -> Iterator[tuple[str, float]]:
    """Names of float outputs with their relative error where the float model's are finite.

    No error is told of zeros, nor of outputs without a number to compare.
    """
    for name, wanted in before.items():
        found = after.get(name)
        if found is None or wanted.dtype.kind != "f" or wanted.shape != found.shape:
            continue
        finite = np.isfinite(wanted)
        a, b = wanted[finite].astype(np.float64), found[finite].astype(np.float64)
        if not np.isfinite(b).all():
            yield name, math.inf
        elif len(a):
            size = float(np.linalg.norm(a))
            yield name, float(np.linalg.norm(b - a)) / size if size else 0.0


def _first_off(
    quantized: Path, model: Path, before: FloatRun, report: GraphReport, folder: Path
) -> str:
    """The tensor whose product or lookup is the first that is too far off; else the least exact."""
    stored = [tensor for tensor in report["tensors"] if tensor["bits"] <= 8]
    names = {tensor["name"] for tensor in stored}
    source, small = load_model(model), load_model(quantized)
    expose_products(source)
    made = {str(value.name): value for node in small.graph for value in node.outputs}
    results = {
        str(node.outputs[0].name): str(value.name)
        for node in source.graph
        for value in node.inputs
        if value is not None and value.name in names and node.outputs[0].name in made
    }
    outputs = []
    for graph, stem in ((source, "float"), (small, "small")):
        given = {value.name for value in graph.graph.outputs}
        for node in graph.graph:
            for value in node.outputs:
                if value.name in results and value.name not in given:
                    value.type = value.type or ir.TensorType(ir.DataType.FLOAT)
                    graph.graph.outputs.append(value)
        path = folder / stem / f"{stem}.onnx"
        save_model(graph, path)
        files = [] if before.inputs is None else [before.inputs]
        ran = run_apart(path, files, folder, weights=stored_bytes(graph), quick=True)
        outputs.append(ran.outputs)
    errors = dict(_errors(*outputs))
    for result, tensor in results.items():
        if errors.get(result, 0.0) > _limit(_explained(report)):
            return tensor
    return max(stored, key=lambda tensor: tensor["relative_error"])["name"]
