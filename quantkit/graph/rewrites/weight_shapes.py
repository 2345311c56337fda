"""Shape(W) with W constant is known: exporters ask a weight for the size of a bias of zeros."""

from __future__ import annotations

import onnx_ir as ir

from quantkit.graph.constants import constant_of
from quantkit.graph.rewrites.shape_arithmetic import constant_shape
from quantkit.graph.transposed import remove_node


def fold_weight_shapes(model: ir.Model) -> int:
    """Replace shapes of constants, which would keep their weights, by numbers; returns how many."""
    count = 0
    for node in list(model.graph.all_nodes()):
        plain = node.domain == "" and node.op_type == "Shape"
        if not plain or node.outputs[0].is_graph_output():
            continue
        tensor = constant_of(node.inputs[0])
        # In the node's own graph: branches of an If may use a name twice.
        if tensor is not None and isinstance(node.graph, ir.Graph):
            remove_node(node, constant_shape(node.graph, node, ir.Shape(tensor.shape.numpy())))
            count += 1
    return count
