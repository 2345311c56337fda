"""Matrix products of one input become one product: [xA, xB, xC] = Split(x [A B C]).

Query, key and value share their input; one wide product reads it once and fills the kernel better.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from quantkit.fuse.weights import constant_of, lazy


def pack_projections(model: ir.Model) -> int:
    """Pack sibling MatMuls with constant right sides, in place; returns the packs made."""
    siblings: dict[ir.Value, list[ir.Node]] = {}
    for node in model.graph:
        if node.op_type == "MatMul" and node.inputs[0] is not None:
            tensor = constant_of(node.inputs[1])
            if tensor is not None and len(tensor.shape) == 2:
                siblings.setdefault(node.inputs[0], []).append(node)
    packs = [nodes for nodes in siblings.values() if len(nodes) > 1]
    for nodes in packs:
        _pack(model.graph, nodes)
    return len(packs)


def _pack(graph: ir.Graph, nodes: list[ir.Node]) -> None:
    weights = [node.inputs[1] for node in nodes]
    tensors = [constant_of(weight) for weight in weights]
    shared = nodes[0].inputs[0]
    widths = [int(tensor.shape[1]) for tensor in tensors if tensor is not None]
    name = _packed_name([str(weight.name) for weight in weights if weight is not None])
    depth = int(tensors[0].shape[0]) if tensors[0] is not None else 0

    def columns() -> np.ndarray:
        return np.concatenate([t.numpy() for t in tensors if t is not None], axis=1)

    packed = ir.Value(
        name=name,
        type=ir.TensorType(ir.DataType.FLOAT),
        shape=ir.Shape((depth, sum(widths))),
        const_value=lazy(name, (depth, sum(widths)), columns),
    )
    graph.register_initializer(packed)
    product = ir.node("MatMul", [shared, packed], name=f"{name}/product")
    graph_sizes = ir.Value(
        name=f"{name}/widths",
        type=ir.TensorType(ir.DataType.INT64),
        shape=ir.Shape((len(widths),)),
        const_value=ir.tensor(np.asarray(widths, dtype=np.int64), name=f"{name}/widths"),
    )
    graph.register_initializer(graph_sizes)
    split = ir.node(
        "Split",
        [product.outputs[0], graph_sizes],
        {"axis": -1},
        num_outputs=len(nodes),
        name=f"{name}/split",
    )
    reference = nodes[0].outputs[0]
    if reference.shape is not None:
        product.outputs[0].shape = ir.Shape([*reference.shape[:-1], sum(widths)])
    product.outputs[0].type = reference.type
    graph.insert_before(nodes[0], [product, split])
    for node, part in zip(nodes, split.outputs, strict=True):
        part.shape, part.type = node.outputs[0].shape, node.outputs[0].type
        ir.convenience.replace_all_uses_with(node.outputs[0], part)
    graph.remove(nodes, safe=True)
    for weight in weights:
        if weight is not None and not list(weight.uses()):
            graph.initializers.pop(str(weight.name))


def _packed_name(names: list[str]) -> str:
    """`a.linear_q.weight`, `a.linear_k.weight` -> `a.linear_q+linear_k.weight`."""
    parts = [name.split(".") for name in names]
    head, *_ = parts
    if all(len(p) == len(head) and p[:-2] == head[:-2] and p[-1] == head[-1] for p in parts):
        return ".".join([*head[:-2], "+".join(p[-2] for p in parts), head[-1]])
    return "+".join(names)
