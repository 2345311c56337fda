from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.bench.statistics import paired_ratio, percentiles_ms


def test_percentiles_are_numpys_in_milliseconds() -> None:
    seconds = np.random.default_rng(0).exponential(0.1, 500)
    found = percentiles_ms(seconds)
    assert list(found) == ["p50", "p95", "p99"]
    assert found["p95"] == pytest.approx(1000 * np.quantile(seconds, 0.95))


@given(st.floats(0.1, 10), st.integers(1, 50), st.integers(0, 9))
def test_what_slows_both_alike_leaves_the_ratio_exact(
    factor: float, rounds: int, seed: int
) -> None:
    b = np.random.default_rng(seed).uniform(1, 100, rounds)
    ratio = paired_ratio(factor * b, b)
    assert (ratio.median, ratio.low, ratio.high) == pytest.approx((factor,) * 3)


def test_the_interval_holds_the_true_ratio_about_as_often_as_it_says() -> None:
    chance = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        noise = chance.lognormal(0, 0.2, (2, 30))
        ratio = paired_ratio(3 * noise[0], noise[1])
        assert ratio.low <= ratio.median <= ratio.high
        held += ratio.low <= 3 <= ratio.high
    assert 175 <= held <= 200


def test_the_same_times_give_the_same_interval() -> None:
    times = np.random.default_rng(2).uniform(1, 2, (2, 20))
    assert paired_ratio(*times) == paired_ratio(*times)
