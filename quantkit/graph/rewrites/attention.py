"""softmax(s q k^T + bias) v over heads is one MultiHeadAttention, which scales q k^T alone.

ONNX Runtime's own conformer fusion scales and masks otherwise and so changes the numbers; here
position term and mask stay outside, summed up as the bias that the operator adds after scaling.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import pattern

from quantkit.graph.constants import constant_of
from quantkit.graph.names import MICROSOFT
from quantkit.graph.rewrite import by_patterns

HEADS_FIRST = [0, 2, 1, 3]


class Attention(pattern.RewriteRuleClassBase):
    """Queries [B, T, H, d], keys and values [B, H, S, d], bias [B, H, T, S]."""

    def pattern(self, op: Any, query: Any, keys: Any, values: Any, scale: Any, bias: Any) -> Any:
        scores = op.MatMul(query, op.Transpose(keys, perm=[0, 1, 3, 2]))
        weights = op.Softmax(op.Add(op.Mul(scores, scale), bias), axis=-1)
        return op.Reshape(
            op.Transpose(op.MatMul(weights, values), perm=HEADS_FIRST), pattern.ANY_VALUE
        )

    def check(  # type: ignore[override]
        self, _context: Any, query: ir.Value, scale: ir.Value, **_: Any
    ) -> Any:
        result = pattern.MatchResult()
        turn, factor = query.producer(), constant_of(scale)
        if turn is None or turn.op_type != "Transpose":
            return result.fail("the query is not split into heads by a transpose", query)
        if list(turn.attributes.get_ints("perm", ())) != HEADS_FIRST:
            return result.fail("the query's transpose is another one", query)
        if factor is None or factor.size != 1:
            return result.fail("the scale is no constant", scale)
        if query.shape is None or not isinstance(query.shape[1], int):
            return result.fail("the number of heads is open", query)
        return result

    def rewrite(
        self, op: Any, query: Any, keys: Any, values: Any, scale: Any, bias: Any, **_: Any
    ) -> Any:
        merged = op.initializer(ir.tensor(np.array([0, 0, -1]), name=f"{query.name}/merged"))
        return op.MultiHeadAttention(
            op.Reshape(query.producer().inputs[0], merged),
            keys,
            values,
            None,
            None,
            bias,
            num_heads=query.shape[1],
            scale=float(scale.const_value.numpy().reshape(())),
            _domain=MICROSOFT,
        )


ATTENTION = by_patterns(
    "attention", Attention.rule(), expected=lambda sizes: sizes.layers, commute=True
)
