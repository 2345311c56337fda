"""ONNX Runtime's dynamic quantization to 8 bits, as sherpa-onnx ships models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnx_ir as ir

from quantkit.core.errors import InputError
from quantkit.graph.constants import read_constant
from quantkit.graph.files import load_model
from quantkit.quantize.schemes.graph_scheme import GraphScheme, KeptTensor
from quantkit.quantize.storage.matrices import find_matrices
from quantkit.quantize.storage.tensors import float_constants

#: The convolution that reads, beside the audio, a barrier of -1e30 where no audio is. One scale
#: for all that it reads would leave none of the audio.
_BEHIND_BARRIER = "stem.first.weight"


class OrtDynamicSettings(GraphScheme):
    """uint8 weights with one scale a tensor, activations quantized as they come.

    These are the settings of sherpa-onnx's NeMo exports: all operators that ONNX Runtime knows,
    convolutions included, but for the stem's first one, which quantkit exports in another way.
    """

    scheme: Literal["ort-dynamic-int8"] = "ort-dynamic-int8"

    def keeps(self, model: ir.Model) -> list[KeptTensor]:
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

    def rewrite(self, graphs: Mapping[str, Path], out: Path) -> dict[str, Path]:
        """Quantize graph files one after the other; see GraphScheme."""
        from onnxruntime.quantization import QuantType, quantize_dynamic

        for name, path in graphs.items():
            _mark_prepared(path)
            model = load_model(path)
            kept = {_BEHIND_BARRIER, *(tensor.name for tensor in self.keeps(model))}
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
    """Say that a graph was optimised and has its shapes, which ONNX Runtime would advise."""
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    model = onnx.load(path, load_external_data=False)
    add_pre_process_metadata(model)
    onnx.save(model, path)
