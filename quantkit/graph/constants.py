"""Constants of a graph as initializers."""

from __future__ import annotations

import onnx_ir as ir


def add_constant(graph: ir.Graph, tensor: ir.TensorProtocol) -> ir.Value:
    """A new initializer of the graph, under the tensor's name."""
    value = ir.Value(
        name=tensor.name,
        type=ir.TensorType(tensor.dtype),
        shape=ir.Shape(tensor.shape.numpy()),
        const_value=tensor,
    )
    graph.register_initializer(value)
    return value
