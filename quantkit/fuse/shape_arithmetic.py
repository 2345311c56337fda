"""Dead shape arithmetic: casts to the same type, reshapes and expands to the same shape."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import IdentityEliminationPass, RemoveUnusedNodesPass

from quantkit.fuse.weights import remove_node

SAME_SHAPE = ("Reshape", "Expand", "Unsqueeze", "Squeeze")


def drop_shape_arithmetic(model: ir.Model) -> int:
    """Remove nodes that return their input unchanged; returns how many."""
    before = sum(1 for _ in model.graph)
    for node in list(model.graph):
        source, result = (node.inputs[0] if node.inputs else None), node.outputs[0]
        if source is None or result.is_graph_output() or not _returns_its_input(node):
            continue
        remove_node(node, source)
    IdentityEliminationPass()(model)
    RemoveUnusedNodesPass()(model)
    return before - sum(1 for _ in model.graph)


def _returns_its_input(node: ir.Node) -> bool:
    source, result = node.inputs[0], node.outputs[0]
    if source is None:
        return False
    if node.op_type == "Cast":
        return source.dtype is not None and source.dtype == node.attributes["to"].as_int()
    if node.op_type in SAME_SHAPE:
        shapes = (source.shape, result.shape)
        return all(s is not None and s.is_static() for s in shapes) and shapes[0] == shapes[1]
    return False
