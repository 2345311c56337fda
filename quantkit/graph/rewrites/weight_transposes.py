"""Transpose(W) with W constant becomes a constant: MatMul then reads [K, N] directly."""

from __future__ import annotations

import onnx_ir as ir

from quantkit.graph.constants import add_constant, constant_of, replace_constant
from quantkit.graph.transposed import remove_node, transposed

SWAPPED = (1, 0)


def fold_weight_transposes(model: ir.Model) -> int:
    """Store weights transposed, subgraphs included; returns how many nodes went.

    A matrix with other users, as an embedding that the output layer shares, gets a transposed twin.
    """
    twins: dict[ir.Value, ir.Value] = {}
    count = 0
    for node in list(model.graph.all_nodes()):
        plain = node.domain == "" and node.op_type == "Transpose"
        if not plain or node.outputs[0].is_graph_output():
            continue
        weight = node.inputs[0]
        tensor = constant_of(weight)
        if weight is None or tensor is None or tensor.dtype != ir.DataType.FLOAT:
            continue
        axes = range(len(tensor.shape))
        order = tuple(node.attributes.get_ints("perm", axes[::-1]))
        if weight in twins and order == SWAPPED:
            remove_node(node, twins[weight])
        elif len(list(weight.uses())) == 1 and not weight.is_graph_output():
            replace_constant(weight, transposed(tensor, order))
            remove_node(node, weight)
        elif order == SWAPPED:
            twin = transposed(tensor, order)
            twin.name = f"{weight.name}.transposed"
            twins[weight] = add_constant(model.graph, twin)
            remove_node(node, twins[weight])
        else:
            continue
        count += 1
    return count
