"""x * sigmoid(x) is ONNX Runtime's QuickGelu with alpha 1: one pass over the data."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import pattern

from quantkit.graph.names import MICROSOFT
from quantkit.graph.rewrite import by_patterns


class Silu(pattern.RewriteRuleClassBase):
    """Mul(x, Sigmoid(x)) -> QuickGelu(x)."""

    def pattern(self, op: Any, x: ir.Value) -> Any:
        return op.Mul(x, op.Sigmoid(x))

    def rewrite(self, op: Any, x: ir.Value) -> Any:
        return op.QuickGelu(x, alpha=1.0, _domain=MICROSOFT)


SILU = by_patterns("SiLU", Silu.rule(), expected=lambda sizes: 3 * sizes.layers, commute=True)
