"""ONNX Runtime's dynamic quantization to 8 bits, as sherpa-onnx ships models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnx_ir as ir

from quantkit.core.errors import InputError
from quantkit.graph.constants import constant_of, read_constant
from quantkit.graph.files import load_model
from quantkit.quantize.inventory import float_constants
from quantkit.quantize.storage.matrices import find_matrices

#: Values at least so large are barriers, as exporters put where no audio is.
_BARRIER = 1e20
#: Nodes that hand values on as they are.
_MOVES = {"Concat", "Expand", "Pad", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}


class KeptTensor(NamedTuple):
    """The name of a constant, and why it is not quantized."""

    name: str
    why: str


def kept_tensors(model: ir.Model) -> list[KeptTensor]:
    """16-bit floats, which it would store with scales that the runtime refuses, and masks."""
    halves = [
        KeptTensor(name, "it is a 16-bit float")
        for name, tensor in float_constants(model).items()
        if tensor.dtype in {ir.DataType.FLOAT16, ir.DataType.BFLOAT16}
    ]
    tables = [matrix for matrix in find_matrices(model) if matrix.use == "lookup"]
    infinite = [
        KeptTensor(matrix.name, "it has infinite values")
        for matrix in tables
        if np.isinf(read_constant(matrix.tensor)).any()
    ]
    return [*halves, *infinite]


def nodes_behind_barriers(model: ir.Model) -> set[ir.Node]:
    """Nodes that compute with a barrier and other values: one scale would leave none of those."""
    values = [
        node.outputs[0]
        for node in model.graph.all_nodes()
        if node.op_type == "Where" and any(map(_is_barrier, node.inputs))
    ]
    behind = set()
    for value in values:
        for node in value.consumers():
            if node.op_type in _MOVES:
                values.append(node.outputs[0])
            else:
                behind.add(node)
    return behind


def _is_barrier(value: ir.Value | None) -> bool:
    tensor = constant_of(value)
    if tensor is None or tensor.dtype != ir.DataType.FLOAT:
        return False
    return bool((np.abs(read_constant(tensor)) >= _BARRIER).any())


def quantize_by_ort(graphs: Mapping[str, Path], out: Path) -> dict[str, Path]:
    """Quantize graph files one after the other.

    Args:
        graphs: float32 models by name, in a directory that may be written to. Their constants
            are initializers.
        out: an empty directory.

    Returns:
        The quantized models by name, in `out`.

    Raises:
        InputError: ONNX Runtime fails on a graph.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    for name, path in graphs.items():
        _mark_prepared(path)
        model = load_model(path)
        kept = {tensor.name for tensor in kept_tensors(model)}
        behind = nodes_behind_barriers(model)
        try:
            quantize_dynamic(
                path,
                out / f"{name}.onnx",
                weight_type=QuantType.QUInt8,
                nodes_to_exclude=[
                    node.name
                    for node in model.graph.all_nodes()
                    if node in behind
                    or any(value is not None and value.name in kept for value in node.inputs)
                ],
                use_external_data_format=True,
                # What follows a contributed operator, which onnx cannot infer, is float here.
                extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
            )
        except Exception as error:
            raise InputError(
                f"{name}: ONNX Runtime's dynamic quantization fails on this graph "
                f"({type(error).__name__}: {error}); choose another scheme, such as kquant"
            ) from error
    return {name: out / f"{name}.onnx" for name in graphs}


def _mark_prepared(path: Path) -> None:
    """Say that a graph was optimized and has its shapes, which ONNX Runtime would advise."""
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    model = onnx.load(path, load_external_data=False)
    add_pre_process_metadata(model)
    onnx.save(model, path)
