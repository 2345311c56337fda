"""Quantize the chosen matrices of one open model and account for every stored byte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypedDict

import onnx_ir as ir

from quantkit.core.progress import Progress
from quantkit.quantize.graph import replace_matrix
from quantkit.quantize.matrices import Inputs, WeightMatrix
from quantkit.quantize.options import SchemeSettings
from quantkit.quantize.packing import pack


class TensorReport(TypedDict):
    """One tensor that holds parameters, as stored. Tensors left in float have no block size."""

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
    nor do weights that were stored in few bits before.
    """

    parameters: int
    bits_per_weight: float
    tensors: list[TensorReport]


def quantize_matrices(
    model: ir.Model,
    choices: Iterable[tuple[WeightMatrix, SchemeSettings]],
    inputs: Inputs,
    progress: Progress,
    what: str,
) -> GraphReport:
    """Replace matrices one at a time, so that one tensor is in memory as float32.

    Args:
        model: changed in place.
        choices: matrices of the model with the settings of each.
        inputs: tells the moments of a matrix's inputs.
        progress: told about each matrix.
        what: words beside the progress bar.
    """
    parameters = sum(int(tensor.size) for tensor in float_constants(model).values())
    reports: list[TensorReport] = []
    todo = list(choices)
    for matrix, settings in progress.track(todo, len(todo), what):
        weight = matrix.read()
        quantized = settings.quantize(weight, inputs(matrix))
        packed = pack(quantized)
        reports.append(
            {
                "name": matrix.name,
                "shape": list(weight.shape),
                "bits": quantized.bits,
                "block_size": quantized.block_size,
                "bytes": packed.nbytes,
                "relative_error": quantized.relative_error(weight),
            }
        )
        replace_matrix(model, matrix, packed, settings.accuracy_level)
    reports += _kept(model)
    stored = sum(report["bytes"] for report in reports)
    return {
        "parameters": parameters,
        "bits_per_weight": 8 * stored / parameters if parameters else 0.0,
        "tensors": reports,
    }


def _kept(model: ir.Model) -> list[TensorReport]:
    return [
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
        elif node.op_type in {"MatMulNBits", "GatherBlockQuantized"}:
            # Codes, scales and zero points; the sixth input of MatMulNBits is a bias.
            for stored in node.inputs[:4]:
                found.pop("" if stored is None else stored.name or "", None)
    return found
