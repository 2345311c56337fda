"""(x W) * 2^n = x (W * 2^n), exactly: the half step of the feed-forward modules costs nothing."""

from __future__ import annotations

import math

import onnx_ir as ir

from quantkit.graph.constants import constant_of, replace_constant, scaled
from quantkit.graph.transposed import remove_node


def fold_residual_scales(model: ir.Model) -> int:
    """Fold multiplications by powers of two into the weights before them; returns how many."""
    count = 0
    for node in list(model.graph):
        if node.op_type != "Mul":
            continue
        product, factor = node.inputs[0], constant_of(node.inputs[1])
        if product is None or factor is None or factor.size != 1:
            continue
        scale = float(factor.numpy().reshape(()))
        if scale == 0 or math.frexp(scale)[0] not in (0.5, -0.5):
            continue
        producer = product.producer()
        if producer is None or producer.op_type != "MatMul" or len(list(product.uses())) != 1:
            continue
        weight = producer.inputs[1]
        tensor = constant_of(weight)
        if weight is None or tensor is None or len(list(weight.uses())) != 1:
            continue
        replace_constant(weight, scaled(tensor, scale))
        remove_node(node, product)
        count += 1
    return count
