"""A depthwise convolution over cached and new frames is one CausalConvWithState, time-major.

It takes the place of two transposes, a concatenation, a convolution that the runtime computes
channel by channel, and a slice for the next cache.
"""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import pattern

from quantkit.graph.constants import constant_of, real_bias
from quantkit.graph.names import MICROSOFT
from quantkit.graph.rewrite import by_patterns, unusual_convolution

TURNED = [0, 2, 1]


class CausalConvolution(pattern.RewriteRuleClassBase):
    """Frames [B, T, C], cache [B, K - 1, C], weight [C, 1, K]."""

    def __init__(self, *, biased: bool) -> None:
        super().__init__("biased causal convolution" if biased else "causal convolution")
        self.biased = biased

    def pattern(self, op: Any, cache: Any, x: Any, weight: Any, bias: Any, start: Any) -> Any:
        frames = op.Concat(cache, x, axis=1)
        inputs = (weight, bias) if self.biased else (weight,)
        convolved = op.Conv(
            op.Transpose(frames, perm=TURNED),
            *inputs,
            _allow_other_attributes=True,
            _outputs=["convolved"],
        )
        others = [pattern.ANY_VALUE] * 3
        following = op.Slice(frames, start, *others, _outputs=["following"])
        return op.Transpose(convolved, perm=TURNED), following

    def check(  # type: ignore[override]
        self, _context: Any, cache: Any, x: Any, weight: Any, start: Any, **nodes: Any
    ) -> Any:
        result = pattern.MatchResult()
        tensor, first = constant_of(weight), constant_of(start)
        if tensor is None or len(tensor.shape) != 3 or first is None:
            return result.fail("no constant weight [channels, 1, kernel]", weight)
        channels, width, kernel = tensor.shape.numpy()
        if unusual := unusual_convolution(nodes["convolved"].producer(), channels):
            return result.fail(unusual, weight)
        shapes = (cache.shape, x.shape, nodes["following"].shape)
        sizes = [None if shape is None else shape[1] for shape in shapes]
        if width != 1 or sizes != [kernel - 1, int(first.numpy().reshape(())), kernel - 1]:
            return result.fail(f"cache, frames and next cache have {sizes} rows", cache)
        return result

    def rewrite(
        self, op: Any, cache: Any, x: Any, weight: Any, bias: ir.Value | None = None, **_: Any
    ) -> Any:
        return op.CausalConvWithState(
            x, weight, real_bias(bias), cache, channels_last=1, _outputs=2, _domain=MICROSOFT
        )


CAUSAL_CONVOLUTION = by_patterns(
    "causal convolution",
    *(CausalConvolution.rule(biased=biased) for biased in (True, False)),
    expected=lambda sizes: sizes.layers,
)
