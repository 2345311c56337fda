"""Transposed weights, and nodes that weights made superfluous."""

from __future__ import annotations

import onnx_ir as ir

from quantkit.graph.constants import lazy, read_constant


def transposed(tensor: ir.TensorProtocol, permutation: tuple[int, ...]) -> ir.LazyTensor:
    """A lazily transposed tensor under the same name."""
    shape = tuple(tensor.shape.numpy()[axis] for axis in permutation)
    return lazy(str(tensor.name), shape, lambda: read_constant(tensor).transpose(permutation))


def remove_node(node: ir.Node, replacement: ir.Value) -> None:
    """Let every user of a one-output node use `replacement`, and drop the node."""
    if node.graph is None:
        raise ValueError(f"node {node.name!r} is in no graph")
    ir.convenience.replace_all_uses_with(node.outputs[0], replacement)
    node.graph.remove(node, safe=True)
