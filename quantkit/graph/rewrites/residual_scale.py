"""(x W) * 2^n = x (W * 2^n), exactly: the half step of the feed-forward modules costs nothing."""

from __future__ import annotations

import math

import onnx_ir as ir

from quantkit.graph.constants import constant_of, replace_constant, scaled
from quantkit.graph.rewrite import by_nodes, remove_node


def _fold(node: ir.Node) -> str | None:
    product, factor = node.inputs[0], constant_of(node.inputs[1])
    scale = 0.0 if factor is None or factor.size != 1 else float(factor.numpy().reshape(()))
    if product is None or scale == 0 or math.frexp(scale)[0] not in (0.5, -0.5):
        return ""
    producer = product.producer()
    if producer is None or producer.op_type != "MatMul" or len(product.uses()) != 1:
        return f"what it scales by {scale} is no product that only it uses"
    weight = producer.inputs[1]
    tensor = constant_of(weight)
    if weight is None or tensor is None or len(weight.uses()) != 1:
        return f"the product that it scales by {scale} has no constant weight of its own"
    replace_constant(weight, scaled(tensor, scale))
    remove_node(node, product)
    return None


#: A product with a bias is left alone.
RESIDUAL_SCALE = by_nodes(
    "residual scale", "Mul", _fold, lambda sizes: 0 if sizes.biased else 2 * sizes.layers
)
