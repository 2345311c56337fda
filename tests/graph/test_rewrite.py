"""A rewrite matches as often as the sizes of the model say, or is refused with its reasons."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.graph.rewrite import MatchError, Rewrite, Sizes, any_number
from quantkit.graph.rewrites.packed_projection import PACKED_PROJECTION
from quantkit.graph.rewrites.residual_scale import RESIDUAL_SCALE
from quantkit.graph.rewrites.silu import SILU
from tests.graph.graphs import model_of

SILUS = """
activations (float[2] x) => (float[2] y, float[2] z) {
  a = Sigmoid (x)
  y = Mul (x, a)
  b = Sigmoid (x)
  c = Neg (b)
  z = Mul (x, c)
}
"""
PRODUCTS = """
products (float[2, 4] x, float[4, 4] v) => (float[2, 4] y, float[2, 4] z) {
  a = MatMul (x, w)
  b = Neg (a)
  y = Mul (b, half)
  z = MatMul (x, v)
}
"""
CONSTANTS = {"w": np.eye(4, dtype=np.float32), "half": np.array(0.5, np.float32)}


def sizes(layers: int) -> Sizes:
    return Sizes("net", layers, linears=3, biased=False)


def test_fewer_matches_are_refused_with_the_reason_of_the_pattern() -> None:
    with pytest.raises(MatchError) as error:
        SILU(model_of(SILUS), sizes(1))
    message = str(error.value)
    assert "rewrite 'SiLU' is refused: found 1 matches in net.onnx, accepted 3 with 1 layers" in (
        message
    )
    assert "Mul 'node_" in message
    assert "expected Sigmoid, got Neg" in message


def test_more_matches_are_refused() -> None:
    with pytest.raises(MatchError, match=r"found 1 matches in net\.onnx, accepted 0"):
        SILU(model_of(SILUS), sizes(0))


def test_reasons_of_rewrites_by_nodes_are_told() -> None:
    with pytest.raises(MatchError, match=r"found 0 .*accepted 2 .*scales by 0.5 is no product"):
        RESIDUAL_SCALE(model_of(PRODUCTS, **CONSTANTS), sizes(1))
    with pytest.raises(MatchError, match="of 2 products of an input 1 have a constant matrix"):
        PACKED_PROJECTION(model_of(PRODUCTS, **CONSTANTS), sizes(1))


def test_any_number_is_accepted_where_sizes_imply_none() -> None:
    assert Rewrite("seven", lambda _: 7, any_number)(model_of(SILUS), sizes(1)) == 7
