"""x * sigmoid(x) is ONNX Runtime's QuickGelu with alpha 1: one pass over the data."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import pattern

from quantkit.graph.domains import MICROSOFT


class Silu(pattern.RewriteRuleClassBase):
    """Mul(x, Sigmoid(x)) -> QuickGelu(x)."""

    def pattern(self, op: Any, x: ir.Value) -> Any:
        return op.Mul(x, op.Sigmoid(x))

    def rewrite(self, op: Any, x: ir.Value) -> Any:
        return op.QuickGelu(x, alpha=1.0, _domain=MICROSOFT)


def fuse_silu(model: ir.Model) -> int:
    """Fuse SiLU activations in place; returns how many."""
    return int(pattern.RewriteRuleSet([Silu.rule()], commute=True).apply_to_model(model))
