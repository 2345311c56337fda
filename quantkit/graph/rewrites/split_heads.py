"""Split(x) and then heads of each part is heads of x and then Split: one Reshape, not three.

A part [..., heads * d] of a packed projection [..., parts * heads * d] that is only reshaped to
[..., heads, d] comes out of the split in that shape.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from quantkit.graph.constants import add_constant, constant_of
from quantkit.graph.rewrite import by_nodes, replace_parts


def _split_into_heads(split: ir.Node) -> str | None:
    source, graph = split.inputs[0], split.graph
    users = [part.consumers() for part in split.outputs]
    reshapes = [nodes[0] for nodes in users if nodes and nodes[0].op_type == "Reshape"]
    if not reshapes or source is None or not isinstance(graph, ir.Graph):
        return ""
    if len(reshapes) < len(users) or any(
        len(nodes) > 1 or nodes[0].outputs[0].is_graph_output() for nodes in users
    ):
        return "a part of it is not only reshaped"
    targets = [constant_of(node.inputs[1]) for node in reshapes]
    shapes = [None if tensor is None else tensor.numpy().tolist() for tensor in targets]
    if shapes[0] is None or any(shape != shapes[0] for shape in shapes):
        return f"its parts are reshaped to {shapes}"
    if source.shape is None or len(shapes[0]) != len(source.shape) + 1:
        return f"{shapes[0]} does not split one axis of {source.shape}"
    *outer, heads, width = shapes[0]
    parts, name = len(reshapes), str(split.name)
    sizes = {"shape": [*outer, parts * heads, width], "heads": [heads] * parts}
    shape, lengths = (
        add_constant(graph, ir.tensor(np.array(numbers), name=f"{name}/{key}"))
        for key, numbers in sizes.items()
    )
    whole = ir.node("Reshape", [source, shape], name=f"{name}/all_heads")
    divided = ir.node(
        "Split", [whole.outputs[0], lengths], {"axis": -2}, num_outputs=parts, name=name
    )
    graph.insert_before(split, [whole, divided])
    replace_parts(reshapes, divided)
    graph.remove(split, safe=True)
    return None


#: Biases would stand between the parts and their heads.
SPLIT_HEADS = by_nodes(
    "heads", "Split", _split_into_heads, lambda sizes: 0 if sizes.biased else sizes.layers
)
