"""The weights of any ONNX file in the forms that quantizers look for."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import (
    LiftConstantsToInitializersPass,
    LiftSubgraphInitializersToMainGraphPass,
    RemoveUnusedNodesPass,
)

from quantkit.graph.rewrites.pointwise_convolution import convert_pointwise_convolutions
from quantkit.graph.rewrites.transposes import cancel_transposes
from quantkit.graph.rewrites.weight_identities import drop_weight_identities
from quantkit.graph.rewrites.weight_shapes import fold_weight_shapes
from quantkit.graph.rewrites.weight_transposes import fold_weight_transposes

#: Where nodes take their weights.
_PLACES = {"MatMul": 1, "Gemm": 1, "Conv": 1, "Gather": 0}
# Initializers had to be inputs as well before this version, and were no less constant.
_OVERRIDABLE = 4


def weights_as_constants(model: ir.Model) -> list[str]:
    """Take weights off the inputs of a graph, in place, which old exporters list there too.

    Other inputs with a value stay: a caller may give another one. Returns a note where a weight
    could have been given, too, and now cannot.
    """
    taken = []
    for value in list(model.graph.inputs):
        if value.is_initializer() and (model.ir_version < _OVERRIDABLE or _is_weight(value)):
            model.graph.inputs.remove(value)
            taken.append(value.name)
    if not taken or model.ir_version < _OVERRIDABLE:
        model.ir_version = max(model.ir_version, _OVERRIDABLE)
        return []
    return [f"weights that were also inputs are constants now: {', '.join(map(repr, taken))}"]


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
    fold_weight_shapes(model)
    # Either may stand before the other.
    while drop_weight_identities(model) + fold_weight_transposes(model):
        pass
    if convert_pointwise_convolutions(model):
        cancel_transposes(model)
    RemoveUnusedNodesPass()(model)
