"""What the graphs of a model hold: the tensors of each, float or in few bits, and their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np
import onnx_ir as ir

from quantkit.core.errors import InputError
from quantkit.core.progress import Progress
from quantkit.graph.constants import read_constant
from quantkit.quantize.storage.blocks import FloatArray
from quantkit.quantize.storage.matrices import find_matrices
from quantkit.quantize.storage.stored import StoredTensor, record_sources, stored_tensors


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


@dataclass(frozen=True)
class Inventory:
    """Sizes of a model's graphs in float.

    Attributes:
        parameters: elements of all floating point constants.
        bytes: of the same.
        matrices: bytes of each quantizable tensor, by "graph/tensor", in the order of the graphs.
    """

    parameters: int
    bytes: int
    matrices: Mapping[str, int]

    @classmethod
    def of(cls, graphs: Mapping[str, ir.Model]) -> Inventory:
        """Count the constants of open models by name."""
        floats = [t for graph in graphs.values() for t in float_constants(graph).values()]
        matrices = {
            f"{name}/{matrix.name}": matrix.tensor.nbytes
            for name, graph in graphs.items()
            for matrix in find_matrices(graph)
        }
        return cls(sum(int(t.size) for t in floats), sum(t.nbytes for t in floats), matrices)

    def kept(self, quantized: Iterable[str]) -> int:
        """Bytes that stay in float when these matrices are quantized."""
        return self.bytes - sum(self.matrices[name] for name in quantized)


def graph_report(
    model: ir.Model,
    parameters: int | None = None,
    errors: Mapping[ir.Value, float] | None = None,
    notes: Sequence[str] = (),
) -> GraphReport:
    """The report on a finished graph: its tensors in few bits, then its floats.

    Args:
        model: the graph.
        parameters: of the graph before it was quantized; None if it was not.
        errors: the relative error of each tensor in few bits, by its codes; others are left out.
        notes: what was not done as asked.
    """
    parameters = count_parameters(model) if parameters is None else parameters
    tensors = [
        _row(t.name, t.shape, t.bits, t.block_size, t.nbytes, errors[t.parts[0]])
        for t in stored_tensors(model)
        if errors and t.parts[0] in errors
    ] + [
        _row(name, t.shape.numpy(), t.dtype.bitwidth, None, t.nbytes, 0.0)
        for name, t in float_constants(model).items()
    ]
    stored = sum(tensor["bytes"] for tensor in tensors)
    report: GraphReport = {
        "parameters": parameters,
        "bits_per_weight": 8 * stored / parameters if parameters else 0.0,
        "tensors": tensors,
    }
    if notes:
        report["notes"] = list(notes)
    return report


def _row(
    name: str, shape: Iterable[int], bits: int, block_size: int | None, nbytes: int, error: float
) -> TensorReport:
    return {
        "name": name,
        "shape": [int(size) for size in shape],
        "bits": int(bits),
        "block_size": block_size,
        "bytes": nbytes,
        "relative_error": error,
    }


def count_parameters(model: ir.Model) -> int:
    """Elements of the floating point constants, scales excepted."""
    return sum(int(tensor.size) for tensor in float_constants(model).values())


def float_constants(model: ir.Model) -> Mapping[str, ir.TensorProtocol]:
    """Floating point initializers and Constant nodes of all graphs, but no scales."""
    values = [value for graph in model.graphs() for value in graph.initializers.values()]
    values += [node.outputs[0] for node in model.graph.all_nodes() if node.op_type == "Constant"]
    scales = {part for stored in stored_tensors(model) for part in stored.parts}
    return {
        value.name or "": tensor
        for value in values
        if value not in scales
        and (tensor := ir.convenience.get_const_tensor(value)) is not None
        and tensor.dtype.is_floating_point()
    }


def compare_graphs(before: ir.Model, after: ir.Model, progress: Progress, what: str) -> GraphReport:
    """Compare every tensor that a graph stores in few bits with the float tensor it was made from.

    Args:
        before: the float graph.
        after: the same graph, quantized. A tensor of which `before` has no float is left out.
        progress: told about each tensor.
        what: words beside the progress bar.

    Raises:
        InputError: a tensor is stored in a way that is not read here, or not finite.
    """
    floats = float_constants(before)
    record_sources(after, floats)
    todo = [tensor for tensor in stored_tensors(after) if tensor.name in floats]
    errors = {
        tensor.parts[0]: _relative_error(tensor, read_constant(floats[tensor.name]))
        for tensor in progress.track(todo, len(todo), what)
    }
    return graph_report(after, count_parameters(before), errors)


def _relative_error(stored: StoredTensor, weight: FloatArray) -> float:
    weight = weight.swapaxes(-1, -2) if stored.transposed else weight
    residual = np.subtract(stored.dequantize(), weight, dtype=np.float64)
    energy = np.square(weight, dtype=np.float64).sum()
    error = float(np.sqrt(np.square(residual).sum() / energy)) if energy > 0 else 0.0
    if not np.isfinite(error):
        raise InputError(
            f"tensor {stored.name!r} {list(stored.shape)}: what is stored of it, or its weights, "
            "are NaN or infinite; use another scheme, or export the model again"
        )
    return error
