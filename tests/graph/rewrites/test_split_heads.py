from __future__ import annotations

import numpy as np

from quantkit.graph.rewrites.split_heads import SPLIT_HEADS
from tests.graph.graphs import model_of, noise, operators, run

GRAPH = """
heads (float[batch, 3, 24] x)
    => (float[batch, 3, 2, 4] q, float[batch, 3, A, B] k, float[batch, 3, 2, 4] v) {
  a, b, c = Split <axis = -1> (x, sizes)
  queries = Reshape (a, shape)
  keys = Reshape (b, OTHER)
  values = Reshape (c, shape)
  q = Neg (queries)
  k = Neg (keys)
  v = Neg (values)
}
"""
CONSTANTS = {
    "sizes": np.array([8, 8, 8]),
    "shape": np.array([-1, 3, 2, 4]),
    "turned": np.array([-1, 3, 4, 2]),
}


def test_one_reshape_before_the_split_does_for_three_after_it() -> None:
    model = model_of(GRAPH.replace("OTHER", "shape"), **CONSTANTS)
    x = noise(1, 2, 3, 24)
    expected = run(model, x=x)
    assert SPLIT_HEADS.apply(model) == 1
    assert operators(model) == {"Reshape": 1, "Split": 1, "Neg": 3}
    for ours, theirs in zip(run(model, x=x), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_parts_that_take_other_shapes_stay() -> None:
    assert SPLIT_HEADS.apply(model_of(GRAPH.replace("OTHER", "turned"), **CONSTANTS)) == 0
