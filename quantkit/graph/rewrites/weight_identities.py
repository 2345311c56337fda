"""Identity(W) with W constant is W: exporters share weights this way."""

from __future__ import annotations

import onnx_ir as ir

from quantkit.graph.constants import constant_of
from quantkit.graph.transposed import remove_node


def drop_weight_identities(model: ir.Model) -> int:
    """Let users of a copied constant use the constant, subgraphs included; returns how many.

    Only constants: a branch of an If may well consist of one Identity of a value outside.
    """
    count = 0
    for node in list(model.graph.all_nodes()):
        plain = node.domain == "" and node.op_type == "Identity"
        if not plain or node.outputs[0].is_graph_output():
            continue
        weight = node.inputs[0]
        if weight is not None and constant_of(weight) is not None:
            remove_node(node, weight)
            count += 1
    return count
