"""Constants of a graph: adding and reading them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


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


def read_constant(tensor: ir.TensorProtocol) -> NDArray[Any]:
    """The values in memory of their own; a file that they are mapped from is closed.

    A mapped file counts as memory of the process until then: weights have to pass one at a time.
    """
    values = np.array(tensor.numpy(), order="C")
    if isinstance(tensor, ir.ExternalTensor):
        tensor.release()
    return values
