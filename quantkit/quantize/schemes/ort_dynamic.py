"""ONNX Runtime's dynamic quantization to 8 bits, as sherpa-onnx ships models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnx_ir as ir

from quantkit.core.errors import InputError
from quantkit.graph.constants import read_constant
from quantkit.graph.files import load_model
from quantkit.quantize.storage.matrices import find_matrices
from quantkit.quantize.storage.tensors import float_constants

#: The convolution that reads, beside the audio, a barrier of -1e30 where no audio is. One scale
#: for all that it reads would leave none of the audio.
_BEHIND_BARRIER = "stem.first.weight"


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
        kept = {_BEHIND_BARRIER, *(tensor.name for tensor in kept_tensors(model))}
        try:
            quantize_dynamic(
                path,
                out / f"{name}.onnx",
                weight_type=QuantType.QUInt8,
                nodes_to_exclude=[
                    node.name
                    for node in model.graph.all_nodes()
                    if any(value is not None and value.name in kept for value in node.inputs)
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
