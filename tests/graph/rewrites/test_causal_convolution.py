from __future__ import annotations

import numpy as np
import pytest

from quantkit.graph.rewrites.causal_convolution import CAUSAL_CONVOLUTION
from tests.graph.graphs import model_of, noise, operators, run

STEPS, CHANNELS, KERNEL = 3, 4, 5

GRAPH = """
convolution (float[batch, 3, 4] x, float[batch, CACHE, 4] cache)
    => (float[batch, T, 4] y, float[batch, R, 4] following) {
  frames = Concat <axis = 1> (cache, x)
  turned = Transpose <perm = [0, 2, 1]> (frames)
  convolved = Conv <group = 4, dilations = [DILATION]> (INPUTS)
  y = Transpose <perm = [0, 2, 1]> (convolved)
  following = Slice (frames, start, end, axes, one)
}
"""


def graph(*, biased: bool = False, cache: int = KERNEL - 1, dilation: int = 1) -> str:
    inputs = "turned, weight, bias" if biased else "turned, weight"
    text = GRAPH.replace("CACHE", str(cache)).replace("DILATION", str(dilation))
    return text.replace("INPUTS", inputs)


def constants(start: int = STEPS) -> dict[str, np.ndarray]:
    return {
        "weight": noise(1, CHANNELS, 1, KERNEL),
        "bias": noise(2, CHANNELS),
        "start": np.array([start]),
        "end": np.array([2**62]),
        "axes": np.array([1]),
        "one": np.array([1]),
    }


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("batch", [1, 2])
def test_frames_and_next_cache_are_the_same(biased: bool, batch: int) -> None:
    model = model_of(graph(biased=biased), **constants())
    feeds = {"x": noise(3, batch, STEPS, CHANNELS), "cache": noise(4, batch, KERNEL - 1, CHANNELS)}
    expected = run(model, **feeds)
    assert CAUSAL_CONVOLUTION.apply(model) == 1
    assert operators(model) == {"CausalConvWithState": 1}
    for ours, theirs in zip(run(model, **feeds), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "start"),
    [(graph(cache=KERNEL), STEPS), (graph(), STEPS - 1), (graph(dilation=2, cache=8), STEPS)],
    ids=["a cache of another length", "another slice for the next cache", "dilated"],
)
def test_other_convolutions_stay(text: str, start: int) -> None:
    assert CAUSAL_CONVOLUTION.apply(model_of(text, **constants(start))) == 0
