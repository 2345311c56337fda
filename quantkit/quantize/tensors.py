"""Quantize the chosen matrices of one open model and account for every stored byte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypedDict

import onnx_ir as ir

from quantkit.core.progress import Progress
from quantkit.quantize.graph import replace_matrix
from quantkit.quantize.matrices import WeightMatrix
from quantkit.quantize.moments import InputMoments, Moments, moments_of
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
    in float) over `parameters`. Integer constants, which are shapes and indices, count in neither.
    """

    parameters: int
    bits_per_weight: float
    tensors: list[TensorReport]


def quantize_matrices(
    model: ir.Model,
    graph: str,
    choices: Iterable[tuple[WeightMatrix, SchemeSettings]],
    moments: Moments | None,
    progress: Progress,
) -> GraphReport:
    """Replace matrices one at a time, so that one tensor is in memory as float32.

    Args:
        model: changed in place.
        graph: its name in the names of tensors.
        choices: matrices of the model with the settings of each.
        moments: of the inputs by "graph/tensor"; given if the settings need them.
        progress: told about each matrix.
    """
    parameters = sum(int(tensor.size) for tensor in float_constants(model).values())
    todo = list(choices)
    reports = [
        quantize_matrix(model, graph, matrix, settings, moments)
        for matrix, settings in progress.track(todo, len(todo), f"quantize {graph}")
    ]
    reports += _kept(model)
    stored = sum(report["bytes"] for report in reports)
    return {
        "parameters": parameters,
        "bits_per_weight": 8 * stored / parameters if parameters else 0.0,
        "tensors": reports,
    }


def quantize_matrix(
    model: ir.Model,
    graph: str,
    matrix: WeightMatrix,
    settings: SchemeSettings,
    moments: Moments | None,
) -> TensorReport:
    """Replace one matrix of a model by its quantized form; see quantize_matrices.

    A lookup table has only whole blocks: theirs are as large as its rows allow.
    """
    rows = matrix.shape[0]
    inputs = None
    if matrix.use == "lookup":
        settings = settings.fitting(rows)
    if moments is not None:
        name = f"{graph}/{matrix.name}"
        inputs = (
            InputMoments.uniform(rows)
            if matrix.use == "lookup"
            else moments_of(moments, name, rows, hessian=settings.needs_hessians)
        )
    weight = matrix.read()
    quantized = settings.quantize(weight, inputs)
    packed = pack(quantized)
    replace_matrix(model, matrix, packed, settings.accuracy_level)
    return {
        "name": matrix.name,
        "shape": list(weight.shape),
        "bits": quantized.bits,
        "block_size": quantized.block_size,
        "bytes": packed.nbytes,
        "relative_error": quantized.relative_error(weight),
    }


def _kept(model: ir.Model) -> list[TensorReport]:
    quantized = {
        value.name
        for node in model.graph.all_nodes()
        if node.op_type in {"MatMulNBits", "GatherBlockQuantized"}
        for value in node.inputs
        if value is not None
    }
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
        if name not in quantized
    ]


def float_constants(model: ir.Model) -> Mapping[str, ir.TensorProtocol]:
    """Floating point initializers and Constant nodes of all graphs."""
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
    return found
