"""What is known before a graph runs is computed once, here; what changes nothing goes.

The batch axis is open, but a Reshape has room for one open size, and equal symbols are equal sizes.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import LiftConstantsToInitializersPass, RemoveUnusedNodesPass
from onnxscript import optimizer

from quantkit.graph.constants import add_constant, constant_of
from quantkit.graph.rewrite import remove_node

# More elements than any mask, shape or position index has, fewer than any weight matrix.
FOLDED_ELEMENTS = 8192
SAME_SHAPE = ("Reshape", "Expand", "Unsqueeze", "Squeeze")


def fold_constants(model: ir.Model) -> int:
    """Fold what depends on small constants, in place; returns how many nodes disappeared.

    Weights are left alone: `fold_weight_transposes` needs no memory for them.
    """
    before = len(model.graph)
    optimizer.fold_constants(
        model, input_size_limit=FOLDED_ELEMENTS, output_size_limit=FOLDED_ELEMENTS
    )
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    RemoveUnusedNodesPass()(model)
    return before - len(model.graph)


def drop_shape_arithmetic(model: ir.Model) -> int:
    """Replace known shapes by constants and remove idle nodes, in place; returns how many."""
    count = 0
    for node in list(model.graph):
        source = node.inputs[0] if node.inputs else None
        if source is None:
            continue
        if node.op_type == "Shape" and source.shape is not None and source.shape.is_static():
            remove_node(node, constant_shape(model.graph, node, source.shape))
        elif _returns_its_input(node) and not node.outputs[0].is_graph_output():
            remove_node(node, source)
        elif node.op_type == "Reshape" and (target := _known_target(node)) is not None:
            name = f"{node.outputs[0].name}/shape"
            node.replace_input_with(1, add_constant(model.graph, ir.tensor(target, name=name)))
        else:
            continue
        count += 1
    RemoveUnusedNodesPass()(model)
    return count


def constant_shape(graph: ir.Graph, node: ir.Node, shape: ir.Shape) -> ir.Value:
    """What a Shape node returns for an input of this static shape, as a new initializer."""
    sizes = np.array(shape.numpy(), dtype=np.int64)
    start = node.attributes.get_int("start", 0)
    end = node.attributes.get_int("end", len(sizes))
    name = f"{node.outputs[0].name}/shape"
    return add_constant(graph, ir.tensor(sizes[start:end], name=name))


def _returns_its_input(node: ir.Node) -> bool:
    source, result = node.inputs[0], node.outputs[0]
    if source is None:
        return False
    if node.op_type == "Cast":
        return source.dtype is not None and source.dtype == node.attributes["to"].as_int()
    if node.op_type in SAME_SHAPE or (node.op_type == "Slice" and _steps_by_one(node)):
        shapes = (source.shape, result.shape)
        return all(s is not None and _known(s) for s in shapes) and shapes[0] == shapes[1]
    return False


def _steps_by_one(node: ir.Node) -> bool:
    steps = constant_of(node.inputs[4]) if len(node.inputs) > 4 else None
    return steps is not None and bool((steps.numpy() == 1).all())


def _known(shape: ir.Shape) -> bool:
    """Whether every size is a number or a symbol: equal symbols are equal sizes."""
    return all(isinstance(size, int) or size.value is not None for size in shape)


def _known_target(node: ir.Node) -> NDArray[np.int64] | None:
    """What a Reshape with a computed target always asks for: at most one size is open."""
    shape = node.outputs[0].shape
    if shape is None or constant_of(node.inputs[1]) is not None:
        return None
    sizes = [size if isinstance(size, int) else -1 for size in shape]
    return np.array(sizes, dtype=np.int64) if sizes.count(-1) <= 1 else None
