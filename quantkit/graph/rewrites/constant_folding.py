"""Constant folding: what depends on constants alone is computed once, here.

Weights are left alone: transposing them is `weight_transposes`, which needs no memory for it.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass, RemoveUnusedNodesPass
from onnxscript import optimizer

# More elements than any mask, shape or position index has, fewer than any weight matrix.
FOLDED_ELEMENTS = 8192


def fold_constants(model: ir.Model) -> int:
    """Fold in place; returns the number of nodes that disappeared."""
    before = sum(1 for _ in model.graph)
    optimizer.fold_constants(
        model, input_size_limit=FOLDED_ELEMENTS, output_size_limit=FOLDED_ELEMENTS
    )
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    RemoveUnusedNodesPass()(model)
    return before - sum(1 for _ in model.graph)
