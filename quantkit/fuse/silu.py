"""x * sigmoid(x) is ONNX Runtime's QuickGelu with alpha 1: one pass over the data."""

from __future__ import annotations

import onnx_ir as ir
from onnxscript.rewriter import pattern

from quantkit.fuse.domains import MICROSOFT


class Silu(pattern.RewriteRuleClassBase):  # type: ignore[misc]
    def pattern(self, op, x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        return op.Mul(x, op.Sigmoid(x))

    def rewrite(self, op, x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        return op.QuickGelu(x, alpha=1.0, _domain=MICROSOFT)


def fuse_silu(model: ir.Model) -> int:
    """Fuse SiLU activations in place; returns how many."""
    return pattern.RewriteRuleSet([Silu.rule()], commute=True).apply_to_model(model)
