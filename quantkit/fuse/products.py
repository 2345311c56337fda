"""The weights of any ONNX file in the forms that quantizers look for."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import (
    LiftConstantsToInitializersPass,
    LiftSubgraphInitializersToMainGraphPass,
    RemoveUnusedNodesPass,
)

from quantkit.fuse.pointwise_convolution import convert_pointwise_convolutions
from quantkit.fuse.transposes import cancel_transposes
from quantkit.fuse.weight_identities import drop_weight_identities
from quantkit.fuse.weight_shapes import fold_weight_shapes
from quantkit.fuse.weight_transposes import fold_weight_transposes


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
