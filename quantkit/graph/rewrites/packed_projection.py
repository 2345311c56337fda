"""Matrix products of one input become one product: [xA, xB, xC] = Split(x [A B C]).

Query, key and value share their input; one wide product reads it once and fills the kernel better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantkit.graph.constants import add_constant, constant_of, lazy, read_constant


@dataclass(frozen=True)
class Product:
    """A MatMul with a constant right side [K, N]."""

    node: ir.Node
    weight: ir.Value
    tensor: ir.TensorProtocol

    @property
    def width(self) -> int:
        return self.tensor.shape.numpy()[1]


def pack_projections(model: ir.Model) -> int:
    """Pack sibling MatMuls with constant right sides, in place; returns the packs made."""
    siblings: dict[ir.Value, list[Product]] = {}
    for node in model.graph:
        if node.op_type != "MatMul":
            continue
        source, weight = node.inputs
        tensor = constant_of(weight)
        if source is None or weight is None or tensor is None or len(tensor.shape) != 2:
            continue
        siblings.setdefault(source, []).append(Product(node, weight, tensor))
    packs = {source: found for source, found in siblings.items() if len(found) > 1}
    for source, products in packs.items():
        _pack(model.graph, source, products)
    return len(packs)


def _pack(graph: ir.Graph, source: ir.Value, products: list[Product]) -> None:
    tensors = [product.tensor for product in products]
    widths = [product.width for product in products]
    name = _packed_name([str(product.weight.name) for product in products])

    def columns() -> NDArray[np.float32]:
        return np.concatenate([read_constant(tensor) for tensor in tensors], axis=1)

    shape = (tensors[0].shape.numpy()[0], sum(widths))
    packed = add_constant(graph, lazy(name, shape, columns))
    sizes = add_constant(graph, ir.tensor(np.array(widths), name=f"{name}/widths"))
    whole = ir.node("MatMul", [source, packed], name=f"{name}/product")
    split = ir.node(
        "Split",
        [whole.outputs[0], sizes],
        {"axis": -1},
        num_outputs=len(products),
        name=f"{name}/split",
    )
    nodes = [product.node for product in products]
    part = nodes[0].outputs[0]
    if part.shape is not None:
        whole.outputs[0].shape = ir.Shape([*part.shape[:-1], sum(widths)])
        whole.outputs[0].type = part.type
    graph.insert_before(nodes[0], [whole, split])
    for node, part in zip(nodes, split.outputs, strict=True):
        part.shape, part.type = node.outputs[0].shape, node.outputs[0].type
        ir.convenience.replace_all_uses_with(node.outputs[0], part)
    graph.remove(nodes, safe=True)
    for product in products:
        if not product.weight.uses():
            graph.initializers.pop(str(product.weight.name))


def _packed_name(names: list[str]) -> str:
    """`a.linear_q.weight`, `a.linear_k.weight` -> `a.linear_q+linear_k.weight`."""
    parts = [name.split(".") for name in names]
    head = parts[0]
    if all(len(p) == len(head) and p[:-2] == head[:-2] and p[-1] == head[-1] for p in parts):
        return ".".join([*head[:-2], "+".join(p[-2] for p in parts), head[-1]])
    return "+".join(names)
