"""A graph of products alone: each weight matrix of a model once, for any quantizer to take."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

from quantkit.graph.constants import add_constant, lazy
from quantkit.graph.files import load_model, save_model
from quantkit.quantize.storage.matrices import WeightMatrix, find_matrices

OPSET = 21


def write_products(model: Path, out: Path) -> None:
    """Write `out`: MatMul(input, W) for every quantizable matrix W [K, N] of a model directory.

    The initializers are named graph/tensor. Tables and Gemm's transposed matrices are turned.
    """
    graph = ir.Graph([], [], nodes=[], opset_imports={"": OPSET}, name="products")
    for path in sorted(model.glob("*.onnx")):
        for matrix in find_matrices(load_model(path)):
            _add_product(graph, f"{path.stem}/{matrix.name}", matrix)
    save_model(ir.Model(graph, ir_version=10), out)


def _add_product(graph: ir.Graph, name: str, matrix: WeightMatrix) -> None:
    rows, columns = matrix.shape
    weight = add_constant(graph, lazy(name, (rows, columns), matrix.read))
    kind = ir.TensorType(ir.DataType.FLOAT)
    left = ir.Value(name=f"{name}/input", type=kind, shape=ir.Shape([1, rows]))
    product = ir.node("MatMul", [left, weight], name=f"{name}/product")
    output = product.outputs[0]
    output.name, output.type, output.shape = f"{name}/output", kind, ir.Shape([1, columns])
    graph.inputs.append(left)
    graph.append(product)
    graph.outputs.append(output)
