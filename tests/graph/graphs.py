"""Small graphs written as text, run before and after a rewrite."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import numpy_helper, parser

HEADER = '<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>\n'


def model_of(text: str, **constants: NDArray[Any]) -> ir.Model:
    """A model from ONNX's text form, its shapes inferred, with named constants."""
    model = parser.parse_model(HEADER + text)
    for name, values in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    return ir.from_proto(onnx.shape_inference.infer_shapes(model))


def operators(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph)


def run(model: ir.Model, **feeds: NDArray[Any]) -> list[NDArray[Any]]:
    if any(node.domain == "com.microsoft" for node in model.graph):
        model.opset_imports["com.microsoft"] = 1
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString())
    return list(session.run(None, feeds))


def noise(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
