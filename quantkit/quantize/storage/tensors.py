"""Quantize the chosen matrices of one open model and account for every stored byte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NotRequired, TypedDict

import numpy as np
import onnx_ir as ir

from quantkit.core.progress import Progress
from quantkit.quantize.schemes.registry import quantize_matrix, store_matrix
from quantkit.quantize.settings import MatrixScheme
from quantkit.quantize.storage.matrices import InfiniteError, Inputs, WeightMatrix
from quantkit.quantize.storage.stored import stored_tensors

# Kernels multiply scales by codes, and zero points by sums of inputs, before they subtract.
_LARGEST = float(np.finfo(np.float32).max) / 2**16


class TensorReport(TypedDict):
    """One tensor that holds parameters, as stored.

    Tensors left in float have no block size, nor have those of which all values share a scale.
    """

    name: str
    shape: list[int]
    bits: int
    block_size: int | None
    bytes: int
    relative_error: float


class GraphReport(TypedDict):
    """One graph.

    `parameters` counts the elements of the floating point constants before quantization;
    `bits_per_weight` is 8 times the bytes of `tensors` (codes, scales, zero points and what stays
    in float) over `parameters`. Integer constants, which are shapes and indices, count in neither,
    nor do weights that were stored in few bits before. `notes`, where there are any, say what was
    not done as asked.
    """

    parameters: int
    bits_per_weight: float
    tensors: list[TensorReport]
    notes: NotRequired[list[str]]


def quantize_matrices(
    model: ir.Model,
    choices: Iterable[tuple[WeightMatrix, MatrixScheme]],
    inputs: Inputs,
    progress: Progress,
    what: str,
) -> GraphReport:
    """Replace matrices one at a time, so that one tensor is in memory as float32.

    Tables with infinities stay as they are, and matrices so large that no finite number is stored
    for one of their weights.

    Args:
        model: changed in place.
        choices: matrices of the model with the settings of each.
        inputs: tells the moments of a matrix's inputs.
        progress: told about each matrix.
        what: words beside the progress bar.
    """
    parameters = count_parameters(model)
    reports: list[TensorReport] = []
    notes: list[str] = []
    todo = list(choices)
    for matrix, settings in progress.track(todo, len(todo), what):
        try:
            weight = matrix.read()
        except InfiniteError:
            if matrix.use != "lookup":
                raise
            notes.append(f"table {matrix.name!r} has infinite values and stays float32")
            continue
        quantized = quantize_matrix(weight, settings, inputs(matrix))
        error = quantized.relative_error(weight)
        largest = max(float(weight.max()), -float(weight.min()))
        if largest > _LARGEST or not np.isfinite(error):
            notes.append(
                f"tensor {matrix.name!r} with weights up to {largest:.1e} stays float32: what "
                f"{settings.scheme} stores of it, or what the runtime adds up, is not finite"
            )
            continue
        reports.append(
            {
                "name": matrix.name,
                "shape": list(weight.shape),
                "bits": quantized.bits,
                "block_size": quantized.block_size,
                "bytes": store_matrix(model, matrix, quantized, settings),
                "relative_error": error,
            }
        )
    return graph_report(model, parameters, reports, notes)


def graph_report(
    model: ir.Model,
    parameters: int,
    quantized: list[TensorReport],
    notes: Sequence[str] = (),
) -> GraphReport:
    """The report on a finished graph: its quantized tensors, and the floats that stay.

    Args:
        model: the quantized graph.
        parameters: of the graph before it was quantized.
        quantized: what is known about each tensor in few bits.
        notes: what was not done as asked.
    """
    kept: list[TensorReport] = [
        {
            "name": name,
            "shape": [int(size) for size in tensor.shape.numpy()],
            "bits": int(tensor.dtype.bitwidth),
            "block_size": None,
            "bytes": tensor.nbytes,
            "relative_error": 0.0,
        }
        for name, tensor in float_constants(model).items()
    ]
    stored = sum(tensor["bytes"] for tensor in [*quantized, *kept])
    report: GraphReport = {
        "parameters": parameters,
        "bits_per_weight": 8 * stored / parameters if parameters else 0.0,
        "tensors": [*quantized, *kept],
    }
    if notes:
        report["notes"] = list(notes)
    return report


def count_parameters(model: ir.Model) -> int:
    """Elements of the floating point constants, scales excepted."""
    return sum(int(tensor.size) for tensor in float_constants(model).values())


def float_constants(model: ir.Model) -> Mapping[str, ir.TensorProtocol]:
    """Floating point initializers and Constant nodes of all graphs, but no scales."""
    found: dict[str, ir.TensorProtocol] = {}
    for graph in model.graphs():
        for name, value in graph.initializers.items():
            if value.const_value is not None and value.const_value.dtype.is_floating_point():
                found[name] = value.const_value
    for node in model.graph.all_nodes():
        if node.op_type == "Constant":
            tensor = ir.convenience.get_const_tensor(node.outputs[0])
            if tensor is not None and tensor.dtype.is_floating_point():
                found[node.outputs[0].name or ""] = tensor
    scales = {name for stored in stored_tensors(model) for name in stored.parts}
    return {name: tensor for name, tensor in found.items() if name not in scales}
