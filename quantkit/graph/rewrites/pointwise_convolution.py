"""Conv1d with kernel 1 is a product: Conv(x) = T(MatMul(T(x), W) + b), T swapping C and time.

Weight-only quantizers see MatMul but not Conv, and the two transposes meet those around the
convolution module and vanish.
"""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import pattern

from quantkit.graph.constants import constant_of, lazy, read_constant, real_bias
from quantkit.graph.names import free_name
from quantkit.graph.rewrite import by_patterns, unusual_convolution

CHANNELS_LAST = [0, 2, 1]


class PointwiseConvolution(pattern.RewriteRuleClassBase):
    """Conv(x, W[out, in, 1], b) -> Transpose(MatMul(Transpose(x), W[in, out]) + b)."""

    def __init__(self, *, biased: bool) -> None:
        super().__init__("biased pointwise convolution" if biased else "pointwise convolution")
        self.biased = biased

    def pattern(self, op: Any, x: ir.Value, weight: ir.Value, bias: ir.Value) -> Any:
        inputs = (x, weight, bias) if self.biased else (x, weight)
        return op.Conv(*inputs, _allow_other_attributes=True, _outputs=["convolved"])

    def check(  # type: ignore[override]
        self, _context: Any, weight: ir.Value, convolved: Any, **_: Any
    ) -> Any:
        result = pattern.MatchResult()
        tensor = constant_of(weight)
        if tensor is None or len(tensor.shape) != 3 or tensor.shape[2] != 1:
            return result.fail("weight is no constant of shape [out, in, 1]", weight)
        if weight.is_graph_output():
            return result.fail("weight is an output of the graph", weight)
        if tensor.dtype != ir.DataType.FLOAT:
            return result.fail(f"weight is {tensor.dtype.name}", weight)
        if unusual := unusual_convolution(convolved.producer(), 1):
            return result.fail(unusual, convolved)
        return result

    def rewrite(self, op: Any, x: Any, weight: Any, bias: ir.Value | None = None, **_: Any) -> Any:
        tensor, name = weight.const_value, str(weight.name)
        outputs, inputs, _kernel = tensor.shape.numpy()
        matrix = lazy(name, (inputs, outputs), lambda: read_constant(tensor)[:, :, 0].T)
        # The convolution's weight goes with its node, so that its name is free.
        weight.name = free_name(f"{name}.convolution", weight.graph.initializers)
        product = op.MatMul(op.Transpose(x, perm=CHANNELS_LAST), op.initializer(matrix))
        if real_bias(bias) is not None:
            product = op.Add(product, bias)
        return op.Transpose(product, perm=CHANNELS_LAST)


POINTWISE_CONVOLUTION = by_patterns(
    "pointwise convolution to MatMul",
    *(PointwiseConvolution.rule(biased=biased) for biased in (True, False)),
    expected=lambda sizes: 2 * sizes.layers,
)
