"""Dead shape arithmetic: shapes that are known, and reshapes and casts that change nothing."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from quantkit.fuse.weights import remove_node
from quantkit.graph.constants import add_constant

SAME_SHAPE = ("Reshape", "Expand", "Unsqueeze", "Squeeze")


def drop_shape_arithmetic(model: ir.Model) -> int:
    """Replace known shapes by constants and remove idle nodes, in place; returns how many."""
    count = 0
    for node in list(model.graph):
        source = node.inputs[0] if node.inputs else None
        if source is None:
            continue
        if node.op_type == "Shape" and source.shape is not None and source.shape.is_static():
            remove_node(node, constant_shape(model.graph, node, source.shape))
        elif _returns_its_input(node) and not node.outputs[0].is_graph_output():
            remove_node(node, source)
        else:
            continue
        count += 1
    RemoveUnusedNodesPass()(model)
    return count


def constant_shape(graph: ir.Graph, node: ir.Node, shape: ir.Shape) -> ir.Value:
    """What a Shape node returns for an input of this static shape, as a new initializer."""
    sizes = np.array(shape.numpy(), dtype=np.int64)
    start = node.attributes.get_int("start", 0)
    end = node.attributes.get_int("end", len(sizes))
    name = f"{node.outputs[0].name}/shape"
    return add_constant(graph, ir.tensor(sizes[start:end], name=name))


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
