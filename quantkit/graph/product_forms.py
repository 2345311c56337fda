"""The weights of any ONNX file in the forms that quantizers look for."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir
from onnx_ir.passes.common import (
    LiftConstantsToInitializersPass,
    LiftSubgraphInitializersToMainGraphPass,
    RemoveUnusedNodesPass,
)
from onnxscript.rewriter import pattern
from onnxscript.rewriter.rules.common import no_op_transpose_rule, transpose_transpose_rule

from quantkit.graph.constants import add_constant, constant_of, replace_constant, transposed
from quantkit.graph.folding import constant_shape
from quantkit.graph.rewrite import remove_node
from quantkit.graph.rewrites.pointwise_convolution import POINTWISE_CONVOLUTION

#: Where nodes take their weights.
_PLACES = {"MatMul": 1, "Gemm": 1, "Conv": 1, "Gather": 0}
# Initializers had to be inputs as well before this version, and were no less constant.
_OVERRIDABLE = 4
_SWAPPED = (1, 0)


def weights_as_constants(model: ir.Model) -> list[str]:
    """Take weights off the inputs of a graph, in place, which old exporters list there too.

    Other inputs with a value stay: a caller may give another one. Returns a note where a weight
    could have been given, too, and now cannot.
    """
    old = model.ir_version < _OVERRIDABLE
    weights = [v for v in model.graph.inputs if v.is_initializer() and (old or _is_weight(v))]
    for value in weights:
        model.graph.inputs.remove(value)
    model.ir_version = max(model.ir_version, _OVERRIDABLE)
    if old or not weights:
        return []
    names = ", ".join(repr(value.name) for value in weights)
    return [f"weights that were also inputs are constants now: {names}"]


def _is_weight(value: ir.Value) -> bool:
    places = [(use.node.domain, use.node.op_type, use.idx) for use in value.uses()]
    return bool(places) and all(
        domain == "" and (kind in {"Transpose", "Identity"} or _PLACES.get(kind) == index)
        for domain, kind, index in places
    )


def expose_products(model: ir.Model) -> None:
    """Make products with constant matrices MatMul or Gemm of an initializer, in place.

    Constants move to the main graph, where their names are unique; Identity and Transpose between
    a weight and its product vanish; 1x1 convolutions over time become MatMul. Results stay the same
    but for the order in which a convolution adds.
    """
    LiftConstantsToInitializersPass()(model)
    LiftSubgraphInitializersToMainGraphPass()(model)
    _fold_weight_shapes(model)
    # Either may stand before the other.
    while _drop_weight_identities(model) + fold_weight_transposes(model):
        pass
    if POINTWISE_CONVOLUTION.apply(model):
        cancel_transposes(model)
    RemoveUnusedNodesPass()(model)


def fold_weight_transposes(model: ir.Model) -> int:
    """Store weights transposed, subgraphs included; returns how many nodes went.

    A matrix with other users, as an embedding that the output layer shares, gets a transposed twin.
    """
    twins: dict[ir.Value, ir.Value] = {}
    count = 0
    for node, weight, tensor in _of_constants(model, "Transpose"):
        if tensor.dtype != ir.DataType.FLOAT:
            continue
        order = tuple(node.attributes.get_ints("perm", range(len(tensor.shape))[::-1]))
        if weight in twins and order == _SWAPPED:
            remove_node(node, twins[weight])
        elif len(weight.uses()) == 1 and not weight.is_graph_output():
            replace_constant(weight, transposed(tensor, order))
            remove_node(node, weight)
        elif order == _SWAPPED:
            twin = transposed(tensor, order)
            twin.name = f"{weight.name}.transposed"
            twins[weight] = add_constant(model.graph, twin)
            remove_node(node, twins[weight])
        else:
            continue
        count += 1
    return count


def cancel_transposes(model: ir.Model) -> int:
    """Make two transposes in a row one, and none of one that changes nothing, in place.

    Returns the number of nodes that disappeared.
    """
    before = len(model.graph)
    rules = pattern.RewriteRuleSet([transpose_transpose_rule, no_op_transpose_rule])
    while rules.apply_to_model(model):
        RemoveUnusedNodesPass()(model)
    return before - len(model.graph)


def _drop_weight_identities(model: ir.Model) -> int:
    """Let users of a copied constant use the constant, subgraphs included; returns how many.

    Only constants: a branch of an If may well consist of one Identity of a value outside.
    """
    identities = list(_of_constants(model, "Identity"))
    for node, weight, _ in identities:
        remove_node(node, weight)
    return len(identities)


def _fold_weight_shapes(model: ir.Model) -> None:
    """Replace shapes of constants by numbers: a bias of zeros is to keep no weight alive."""
    for node, _, tensor in _of_constants(model, "Shape"):
        # In the node's own graph: branches of an If may use a name twice.
        if isinstance(node.graph, ir.Graph):
            remove_node(node, constant_shape(node.graph, node, ir.Shape(tensor.shape.numpy())))


def _of_constants(
    model: ir.Model, operator: str
) -> Iterator[tuple[ir.Node, ir.Value, ir.TensorProtocol]]:
    """Nodes of an operator whose first input is constant, with it; subgraphs included."""
    for node in list(model.graph.all_nodes()):
        plain = node.domain == "" and node.op_type == operator
        weight = node.inputs[0] if plain and not node.outputs[0].is_graph_output() else None
        tensor = constant_of(weight)
        if weight is not None and tensor is not None:
            yield node, weight, tensor
