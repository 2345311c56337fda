"""Transpose(W) with W constant becomes a constant: MatMul then reads [K, N] directly."""

from __future__ import annotations

import onnx_ir as ir

from quantkit.fuse.weights import remove_node, transposed
from quantkit.graph.constants import constant_of, replace_constant


def fold_weight_transposes(model: ir.Model) -> int:
    """Store transposed weights that one node uses; returns how many."""
    count = 0
    for node in list(model.graph):
        if node.op_type != "Transpose":
            continue
        weight = node.inputs[0]
        tensor = constant_of(weight)
        if tensor is None or weight is None or len(list(weight.uses())) != 1:
            continue
        replace_constant(weight, transposed(tensor, tuple(node.attributes["perm"].as_ints())))
        remove_node(node, weight)
        count += 1
    return count
