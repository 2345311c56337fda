"""Constants that are computed when they are written, so that big weights pass one at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantkit.graph.constants import read_constant


def constant_of(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The tensor behind an initializer, or None for anything computed or fed."""
    if value is None or not value.is_initializer() or value.is_graph_input():
        return None
    return value.const_value


def lazy(
    name: str, shape: tuple[int, ...], compute: Callable[[], NDArray[np.float32]]
) -> ir.LazyTensor:
    """A float32 tensor of a known shape whose values are computed at each access."""
    return ir.LazyTensor(
        lambda: ir.tensor(np.ascontiguousarray(compute(), dtype=np.float32), name=name),
        dtype=ir.DataType.FLOAT,
        shape=ir.Shape(shape),
        name=name,
    )


def scaled(tensor: ir.TensorProtocol, factor: float) -> ir.LazyTensor:
    """A lazily multiplied tensor under the same name."""
    shape = tuple(tensor.shape.numpy())
    return lazy(str(tensor.name), shape, lambda: read_constant(tensor) * np.float32(factor))


def transposed(tensor: ir.TensorProtocol, permutation: tuple[int, ...]) -> ir.LazyTensor:
    """A lazily transposed tensor under the same name."""
    shape = tuple(tensor.shape.numpy()[axis] for axis in permutation)
    return lazy(str(tensor.name), shape, lambda: read_constant(tensor).transpose(permutation))


def replace_constant(value: ir.Value, tensor: ir.TensorProtocol) -> None:
    """Give an initializer new content; its name stays."""
    value.const_value = tensor
    value.shape = ir.Shape(tensor.shape.numpy())


def remove_node(node: ir.Node, replacement: ir.Value) -> None:
    """Let every user of a one-output node use `replacement`, and drop the node."""
    if node.graph is None:
        raise ValueError(f"node {node.name!r} is in no graph")
    ir.convenience.replace_all_uses_with(node.outputs[0], replacement)
    node.graph.remove(node, safe=True)
