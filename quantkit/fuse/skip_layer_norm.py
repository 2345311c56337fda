"""LayerNorm(x + y), with the sum used again as the residual, is one SkipLayerNormalization."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import pattern

from quantkit.graph.domains import MICROSOFT

RANK = 3  # [batch, time, channels], what the fused kernel takes


class SkipLayerNorm(pattern.RewriteRuleClassBase):
    """LayerNormalization(Add(x, skip)) -> SkipLayerNormalization(x, skip), sum kept."""

    def pattern(
        self, op: Any, x: ir.Value, skip: ir.Value, scale: ir.Value, bias: ir.Value, epsilon: Any
    ) -> Any:
        total = op.Add(x, skip)
        normalized = op.LayerNormalization(
            total, scale, bias, axis=-1, epsilon=epsilon, _allow_other_attributes=True
        )
        return normalized, total

    def check(  # type: ignore[override]
        self, _context: Any, x: ir.Value, skip: ir.Value, **_: Any
    ) -> Any:
        result = pattern.MatchResult()
        if x.shape is None or len(x.shape) != RANK or x.shape != skip.shape:
            return result.fail(f"shapes {x.shape} and {skip.shape}", x)
        return result

    def rewrite(
        self, op: Any, x: ir.Value, skip: ir.Value, scale: ir.Value, bias: ir.Value, epsilon: Any
    ) -> Any:
        normalized, _mean, _deviation, total = op.SkipLayerNormalization(
            x, skip, scale, bias, epsilon=epsilon, _outputs=4, _domain=MICROSOFT
        )
        return normalized, total


def fuse_skip_layer_norms(model: ir.Model) -> int:
    """Fuse residual sums with the layer norms after them, in place; returns how many."""
    return int(pattern.RewriteRuleSet([SkipLayerNorm.rule()]).apply_to_model(model))
