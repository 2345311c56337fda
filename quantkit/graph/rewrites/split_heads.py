"""Split(x) and then heads of each part is heads of x and then Split: one Reshape, not three.

A part [..., heads * d] of a packed projection [..., parts * heads * d] that is only reshaped to
[..., heads, d] comes out of the split in that shape.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from quantkit.graph.constants import add_constant, constant_of
from quantkit.graph.rewrite import MissError, by_nodes


def _split_into_heads(split: ir.Node) -> None:
    source, users = split.inputs[0], [part.consumers() for part in split.outputs]
    reshapes = [nodes[0] for nodes in users if nodes and nodes[0].op_type == "Reshape"]
    if not reshapes or source is None or split.graph is None:
        raise MissError
    if len(reshapes) < len(users) or any(
        len(nodes) > 1 or nodes[0].outputs[0].is_graph_output() for nodes in users
    ):
        raise MissError("a part of it is not only reshaped")
    targets = [_target(node) for node in reshapes]
    first = targets[0]
    if first is None or any(target != first for target in targets):
        raise MissError(f"its parts are reshaped to {targets}")
    if source.shape is None or len(first) != len(source.shape) + 1:
        raise MissError(f"{first} does not split one axis of {source.shape}")
    _hoist(split.graph, split, source, reshapes, first)


def _target(node: ir.Node) -> list[int] | None:
    shape = constant_of(node.inputs[1])
    return None if shape is None else [int(size) for size in shape.numpy()]


def _hoist(
    graph: ir.Graph, split: ir.Node, source: ir.Value, reshapes: list[ir.Node], shape: list[int]
) -> None:
    *outer, heads, width = shape
    parts, name = len(reshapes), str(split.name)
    sizes = {"shape": [*outer, parts * heads, width], "heads": [heads] * parts}
    values = [
        add_constant(graph, ir.tensor(np.array(numbers), name=f"{name}/{key}"))
        for key, numbers in sizes.items()
    ]
    whole = ir.node("Reshape", [source, values[0]], name=f"{name}/all_heads")
    divided = ir.node(
        "Split", [whole.outputs[0], values[1]], {"axis": -2}, num_outputs=parts, name=name
    )
    graph.insert_before(split, [whole, divided])
    for node, part in zip(reshapes, divided.outputs, strict=True):
        part.shape, part.type = node.outputs[0].shape, node.outputs[0].type
        ir.convenience.replace_all_uses_with(node.outputs[0], part)
    graph.remove([*reshapes, split], safe=True)


#: Biases would stand between the parts and their heads.
SPLIT_HEADS = by_nodes(
    "heads", "Split", _split_into_heads, lambda sizes: 0 if sizes.biased else sizes.layers
)
