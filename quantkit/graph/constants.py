"""Constants of a graph, some computed when they are written: big weights pass one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantkit.graph.names import free_name


def add_constant(graph: ir.Graph, tensor: ir.TensorProtocol) -> ir.Value:
    """A new initializer of the graph, under the tensor's name or, if it has one so, the next."""
    value = ir.Value(
        name=free_name(str(tensor.name), graph.initializers),
        type=ir.TensorType(tensor.dtype),
        shape=ir.Shape(tensor.shape.numpy()),
        const_value=tensor,
    )
    graph.register_initializer(value)
    return value


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


def constant_of(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The tensor behind an initializer, or None for anything computed or fed."""
    if value is None or not value.is_initializer() or value.is_graph_input():
        return None
    return value.const_value


def real_bias(bias: ir.Value | None) -> ir.Value | None:
    """The bias, or None for the zeros that the exporter writes where a module has none."""
    constant = constant_of(bias)
    return bias if constant is None or constant.numpy().any() else None


def scaled(tensor: ir.TensorProtocol, factor: float | NDArray[np.float32]) -> ir.LazyTensor:
    """A lazily multiplied tensor under the same name; a factor may be any that broadcasts."""
    shape = tuple(tensor.shape.numpy())
    return lazy(
        str(tensor.name), shape, lambda: read_constant(tensor) * np.asarray(factor, np.float32)
    )


def transposed(tensor: ir.TensorProtocol, permutation: tuple[int, ...]) -> ir.LazyTensor:
    """A lazily transposed tensor under the same name."""
    shape = tuple(tensor.shape.numpy()[axis] for axis in permutation)
    return lazy(str(tensor.name), shape, lambda: read_constant(tensor).transpose(permutation))


def replace_constant(value: ir.Value, tensor: ir.TensorProtocol) -> None:
    """Give an initializer new content; its name stays."""
    value.const_value = tensor
    value.shape = ir.Shape(tensor.shape.numpy())


def read_constant(tensor: ir.TensorProtocol) -> NDArray[Any]:
    """The values in memory of their own; a file that they are mapped from is closed.

    A mapped file counts as memory of the process until then: weights have to pass one at a time.
    """
    values = np.array(tensor.numpy(), order="C")
    if isinstance(tensor, ir.ExternalTensor):
        tensor.release()
    return values
