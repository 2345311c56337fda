"""Matrix products of one input become one product: [xA, xB, xC] = Split(x [A B C]).

Query, key and value share their input; one wide product reads it once and fills the kernel better.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantkit.graph.constants import add_constant, constant_of, lazy, read_constant
from quantkit.graph.rewrite import by_nodes, replace_parts


def _pack(first: ir.Node) -> str | None:
    """Pack the products that share their input with one of them."""
    source, graph = first.inputs[0], first.graph
    users = () if source is None else source.consumers()
    siblings = [node for node in users if node.op_type == "MatMul" and node.inputs[0] is source]
    if source is None or not isinstance(graph, ir.Graph) or len(siblings) < 2:
        return ""
    matrices = {
        node: (weight, tensor)
        for node in siblings
        if (weight := node.inputs[1]) is not None
        and (tensor := constant_of(weight)) is not None
        and len(tensor.shape) == 2
    }
    if first not in matrices or len(matrices) < 2:
        return f"of {len(siblings)} products of an input {len(matrices)} have a constant matrix"
    nodes, weights = list(matrices), [weight for weight, _ in matrices.values()]
    tensors = [tensor for _, tensor in matrices.values()]
    widths = [tensor.shape.numpy()[1] for tensor in tensors]
    name = _packed_name([str(weight.name) for weight in weights])

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
        num_outputs=len(nodes),
        name=f"{name}/split",
    )
    part = nodes[0].outputs[0]
    if part.shape is not None:
        whole.outputs[0].shape = ir.Shape([*part.shape[:-1], sum(widths)])
        whole.outputs[0].type = part.type
    graph.insert_before(first, [whole, split])
    replace_parts(nodes, split)
    for weight in weights:
        if not weight.uses():
            graph.initializers.pop(str(weight.name))
    return None


def _packed_name(names: list[str]) -> str:
    """`a.linear_q.weight`, `a.linear_k.weight` -> `a.linear_q+linear_k.weight`."""
    parts = [name.split(".") for name in names]
    head = parts[0]
    if all(len(p) == len(head) and p[:-2] == head[:-2] and p[-1] == head[-1] for p in parts):
        return ".".join([*head[:-2], "+".join(p[-2] for p in parts), head[-1]])
    return "+".join(names)


PACKED_PROJECTION = by_nodes("packed projections", "MatMul", _pack, lambda sizes: sizes.layers)
