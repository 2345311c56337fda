"""The bootstrap against closed forms, enumeration and scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from benchmarks import resampling
from quantkit.evaluate.bootstrap import Estimate, mean, rate_interval, rates


def clips(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Word errors of a better and a worse system, [2, n], and words, [n]."""
    chance = np.random.default_rng(seed)
    words = chance.integers(1, 40, n)
    hard = chance.binomial(words, 0.2)
    return np.array([hard, hard + chance.binomial(words, 0.02)]), words


def test_the_interval_of_a_ratio_is_the_delta_methods() -> None:
    errors, words = clips(1, 2000)
    [estimate, _] = rates(errors, words)
    rate = errors[0].sum() / words.sum()
    error = np.sqrt(((errors[0] - rate * words) ** 2).sum()) / words.sum()
    assert estimate.value == rate
    assert estimate.standard_error() == pytest.approx(error, rel=0.03)
    assert estimate.interval(0.9) == pytest.approx(
        (rate - 1.645 * error, rate + 1.645 * error), abs=0.1 * error
    )
    assert estimate.upper(0.95) == pytest.approx(estimate.interval(0.9)[1], abs=1e-12)
    assert estimate.lower(0.95) == pytest.approx(estimate.interval(0.9)[0], abs=1e-12)


def test_interval_and_error_are_scipys() -> None:
    errors, words = clips(2, 60)
    [better, worse] = rates(errors, words)
    found = stats.bootstrap(
        (errors[1] - errors[0], words),
        lambda counts, sizes, axis=-1: counts.sum(axis=axis) / sizes.sum(axis=axis),
        paired=True, vectorized=True, method="percentile", rng=np.random.default_rng(0),
    )  # fmt: skip
    difference = worse - better
    assert difference.standard_error() == pytest.approx(found.standard_error, rel=0.04)
    assert difference.interval() == pytest.approx(
        tuple(found.confidence_interval), abs=0.1 * found.standard_error
    )


def test_every_outcome_of_two_utterances_as_often_as_counted_by_hand() -> None:
    # Of four equally likely draws, one has no difference, two have half, one has a whole.
    [first, second] = rates([[0, 0], [1, 0]], [1, 1])
    difference = second - first
    values, times = np.unique(difference.draws, return_counts=True)
    assert values.tolist() == [0, 0.5, 1]
    assert times / 10_000 == pytest.approx([0.25, 0.5, 0.25], abs=0.02)
    assert difference.p_value() == 2 * (times[0] + 1) / 10_001
    assert (first - second).p_value() == difference.p_value()


def test_a_difference_that_no_draw_denies_is_as_sure_as_the_draws_can_say() -> None:
    [first, second] = rates([[0] * 50, [1] * 50], [1] * 50)
    assert (second - first).p_value() == 2 / 10_001


def test_equal_systems_differ_by_nothing_surely() -> None:
    errors, words = clips(3, 100)
    [one, same] = rates(errors[[0, 0]], words)
    difference = same - one
    assert (difference.value, *difference.interval(), difference.p_value()) == (0, 0, 0, 1)
    assert difference.minimum_detectable() is None


def test_pairing_takes_out_what_both_systems_find_hard() -> None:
    [better, worse] = rates(*clips(4, 300))
    assert (worse - better).standard_error() < 0.4 * worse.standard_error()


def test_one_utterance_is_its_own_interval() -> None:
    [first, second] = rates([[1], [2]], [4])
    assert first.interval() == (0.25, 0.25)
    assert first.minimum_detectable() is None
    assert rate_interval([1], [4]) == (0.25, 0.25)
    assert (second - first).value == 0.25


def test_a_draw_without_size_takes_the_measured_rate() -> None:
    [estimate] = rates([1, 1], [0, 4])
    assert np.unique(estimate.draws).tolist() == [0.25, 0.5]
    with pytest.raises(ValueError, match="no rate"):
        rates([[1, 1], [1, 1]], [[1, 1], [0, 0]])


def test_systems_may_have_sizes_of_their_own() -> None:
    errors, words = clips(5, 80)
    [alone] = rates(errors[1], 2 * words)
    together = rates(errors, np.array([words, 2 * words]))
    np.testing.assert_array_equal(together[1].draws, alone.draws)


def test_the_macro_average_weighs_sets_alike_and_draws_them_apart() -> None:
    # The same utterances as two sets: independent halves of an average.
    errors, words = clips(6, 500)
    a, b = (rates(errors, words, name=name)[0] for name in ("a", "b"))
    macro = mean([a, b])
    assert abs(np.corrcoef(a.draws, b.draws)[0, 1]) < 0.04
    assert macro.value == a.value
    assert macro.standard_error() == pytest.approx(a.standard_error() / np.sqrt(2), rel=0.04)
    small = mean([a, *rates([3], [4], name="c")])
    assert small.value == pytest.approx((a.value + 0.75) / 2)
    # A set of one utterance adds no doubt of its own.
    assert small.standard_error() == pytest.approx(a.standard_error() / 2)


def test_the_minimum_detectable_difference_is_found_four_times_in_five() -> None:
    chance = np.random.default_rng(7)
    words, suites = np.full(150, 10), 250
    noise = chance.normal(size=(suites, 150))
    [null] = rates(noise[0], words)
    smallest = null.minimum_detectable()
    exact = (1.96 + 0.8416) / np.sqrt(150) / 10
    assert smallest == pytest.approx(exact, rel=0.15)
    found = rates(noise + 10 * exact, words, resamples=2000)
    assert np.mean([estimate.p_value() < 0.05 for estimate in found]) == pytest.approx(
        0.8, abs=0.07
    )


@settings(max_examples=30, deadline=None)
@given(
    arrays(np.int64, st.tuples(st.integers(1, 4), st.integers(1, 30)), elements=st.integers(0, 50)),
    st.integers(1, 1000),
    st.randoms(use_true_random=False),
)
def test_numbers_depend_on_nothing_but_the_utterances(errors, factor, random) -> None:
    words = np.arange(1, errors.shape[1] + 1)
    found = rates(errors, words, resamples=50)
    for estimate in found:
        low, high = estimate.interval()
        assert 0 <= low <= high
    # Beside other systems, or alone: bit for bit.
    np.testing.assert_array_equal(rates(errors[-1], words, resamples=50)[0].draws, found[-1].draws)
    scaled = rates(factor * errors, words, resamples=50)[0]
    np.testing.assert_allclose(scaled.draws, factor * found[0].draws, rtol=1e-12)
    order = random.sample(range(len(words)), len(words))
    assert rates(errors[:, order], words[order], resamples=50)[0].value == found[0].value


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_p_is_a_probability_and_knows_no_side(draws) -> None:
    estimate = Estimate(0.0, np.array(draws))
    mirrored = Estimate(0.0, -np.array(draws))
    assert 0 < estimate.p_value() == mirrored.p_value() <= 1


def test_the_order_of_utterances_moves_an_interval_by_its_own_noise_only() -> None:
    errors, words = clips(8, 400)
    a, b = rate_interval(list(errors[0]), list(words)), rate_interval(
        list(errors[0][::-1]), list(words[::-1])
    )  # fmt: skip
    assert a == pytest.approx(b, abs=0.05 * (a[1] - a[0]))
    assert a == rate_interval(list(errors[0]), list(words))


@pytest.mark.slow
def test_eight_benchmarks_are_resampled_within_ten_seconds() -> None:
    assert resampling.measure() < 10
