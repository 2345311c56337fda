"""Conv1d with kernel 1 is a matrix product: Conv(x) = T(MatMul(T(x), W) + b), T swapping C and time.

Weight-only quantizers see MatMul but not Conv, and the two transposes meet those around the
convolution module and vanish.
"""

from __future__ import annotations

import onnx_ir as ir
from onnxscript.rewriter import pattern

from quantkit.fuse.weights import constant_of, lazy

CHANNELS_LAST = [0, 2, 1]


class PointwiseConvolution(pattern.RewriteRuleClassBase):  # type: ignore[misc]
    def __init__(self, biased: bool) -> None:
        super().__init__("biased pointwise convolution" if biased else "pointwise convolution")
        self.biased = biased

    def pattern(self, op, x, weight, bias):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        inputs = (x, weight, bias) if self.biased else (x, weight)
        return op.Conv(*inputs, _allow_other_attributes=True, _outputs=["convolved"])

    def check(self, context, weight, convolved, **_):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN003, ANN201, ARG002
        result = pattern.MatchResult()
        tensor = constant_of(weight)
        if tensor is None or len(tensor.shape) != 3 or tensor.shape[2] != 1:
            return result.fail("weight is no constant of shape [out, in, 1]", weight)
        attributes = convolved.producer().attributes
        plain = {"group": 1, "strides": [1], "pads": [0, 0], "dilations": [1]}
        for name, neutral in plain.items():
            found = attributes[name].value if name in attributes else neutral
            if (list(found) if isinstance(neutral, list) else found) != neutral:
                return result.fail(f"{name} is {found}", convolved)
        return result

    def rewrite(self, op, x, weight, bias, **_):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN003, ANN201
        tensor = weight.const_value
        outputs, inputs, _kernel = tensor.shape.numpy()
        matrix = lazy(weight.name, (inputs, outputs), lambda: tensor.numpy()[:, :, 0].T)
        # The convolution's weight goes with its node, so that its name is free.
        weight.name = f"{weight.name}.convolution"
        product = op.MatMul(op.Transpose(x, perm=CHANNELS_LAST), op.initializer(matrix))
        # The exporter writes a bias of zeros where the module has none.
        constant = constant_of(bias) if self.biased else None
        if self.biased and (constant is None or constant.numpy().any()):
            product = op.Add(product, bias)
        return op.Transpose(product, perm=CHANNELS_LAST)


def convert_pointwise_convolutions(model: ir.Model) -> int:
    """Turn 1x1 convolutions over time into MatMul, in place; returns how many."""
    rules = [PointwiseConvolution.rule(biased) for biased in (True, False)]
    return pattern.RewriteRuleSet(rules).apply_to_model(model)
