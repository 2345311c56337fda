from __future__ import annotations

import numpy as np
import pytest

from quantkit.graph.rewrites.attention import ATTENTION
from tests.graph.graphs import model_of, noise, operators, run

STEPS, HEADS, WIDTH, ROWS = 3, 2, 4, 7

GRAPH = """
attention (float[batch, 3, 2, 4] q, float[batch, 2, 7, 4] k, float[batch, 2, 7, 4] v,
           float[batch, 2, 3, 7] bias) => (float[batch, 3, 8] y) {
  query = Transpose <perm = [0, 2, 1, 3]> (q)
  turned = Transpose <perm = KEYS> (k)
  scores = MatMul (query, turned)
  scaled = Mul (scores, SCALE)
  total = Add (scaled, bias)
  weights = Softmax <axis = -1> (total)
  attended = MatMul (weights, v)
  merged = Transpose <perm = [0, 2, 1, 3]> (attended)
  y = Reshape (merged, shape)
}
"""
CONSTANTS = {"shape": np.array([0, 0, -1]), "scale": np.array(0.3, np.float32)}


def graph(keys: str = "[0, 1, 3, 2]", scale: str = "scale") -> str:
    return GRAPH.replace("KEYS", keys).replace("SCALE", scale)


def feeds(batch: int) -> dict[str, np.ndarray]:
    return {
        "q": noise(1, batch, STEPS, HEADS, WIDTH),
        "k": noise(2, batch, HEADS, ROWS, WIDTH),
        "v": noise(3, batch, HEADS, ROWS, WIDTH),
        "bias": noise(4, batch, HEADS, STEPS, ROWS) * 3,
    }


@pytest.mark.parametrize("batch", [1, 3])
def test_scale_goes_to_the_product_and_not_to_the_bias(batch: int) -> None:
    model = model_of(graph(), **CONSTANTS)
    expected = run(model, **feeds(batch))
    assert ATTENTION.apply(model) == 1
    assert operators(model)["MultiHeadAttention"] == 1
    assert operators(model)["Softmax"] == 0
    for ours, theirs in zip(run(model, **feeds(batch)), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_scale_that_is_computed_stays() -> None:
    text = graph(scale="factor").replace("scaled =", "factor = ReduceMean(bias)\n  scaled =")
    model = model_of(text, **CONSTANTS)
    assert ATTENTION.apply(model) == 0


def test_a_query_with_its_heads_elsewhere_stays() -> None:
    text = graph().replace("query = Transpose <perm = [0, 2, 1, 3]> (q)", "query = Identity (q)")
    text = text.replace("float[batch, 3, 2, 4] q", "float[batch, 2, 3, 4] q")
    assert ATTENTION.apply(model_of(text, **CONSTANTS)) == 0
