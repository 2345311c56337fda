"""Split(x) and then heads of each part is heads of x and then Split: one Reshape, not three."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from quantkit.graph.constants import add_constant, constant_of


def split_into_heads(model: ir.Model) -> int:
    """Reshape packed projections [..., parts * heads * d] before they are split; returns how many.

    A part [..., heads * d] that is only reshaped to [..., heads, d] comes out of the split in that
    shape.
    """
    count = 0
    for split in [node for node in model.graph if node.op_type == "Split"]:
        reshapes = [_only_reshape(part) for part in split.outputs]
        source = split.inputs[0]
        shapes = [_target(node) for node in reshapes]
        if source is None or source.shape is None or not shapes or shapes[0] is None:
            continue
        first = shapes[0]
        if any(shape != first for shape in shapes) or len(first) != len(source.shape) + 1:
            continue
        _hoist(model.graph, split, source, [node for node in reshapes if node is not None], first)
        count += 1
    return count


def _only_reshape(part: ir.Value) -> ir.Node | None:
    users = [use.node for use in part.uses()]
    if len(users) != 1 or users[0].op_type != "Reshape":
        return None
    return None if users[0].outputs[0].is_graph_output() else users[0]


def _target(node: ir.Node | None) -> list[int] | None:
    shape = constant_of(node.inputs[1]) if node is not None else None
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
