"""Two transposes in a row are one, and one that changes nothing is none."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxscript.rewriter import pattern
from onnxscript.rewriter.rules.common import no_op_transpose_rule, transpose_transpose_rule


def cancel_transposes(model: ir.Model) -> int:
    """Collapse chains of transposes in place; returns the number of nodes that disappeared."""
    before = sum(1 for _ in model.graph)
    rules = pattern.RewriteRuleSet([transpose_transpose_rule, no_op_transpose_rule])
    while rules.apply_to_model(model):
        RemoveUnusedNodesPass()(model)
    return before - sum(1 for _ in model.graph)
