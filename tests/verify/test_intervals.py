from __future__ import annotations

import numpy as np
import pytest

from quantkit.verify.intervals import rate_interval


def test_the_interval_of_a_mean_is_the_textbook_one() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    low, high = rate_interval(list(values), [1] * 400)
    margin = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - margin, abs=0.02)
    assert high == pytest.approx(values.mean() + margin, abs=0.02)


def test_long_utterances_weigh_more() -> None:
    low, high = rate_interval([0, 100] * 50, [1, 100] * 50)
    assert 0.98 < low < 5000 / 5050 < high < 1


def test_pairing_takes_out_what_both_systems_find_hard() -> None:
    hard = np.random.default_rng(2).integers(0, 20, 200)
    words = [20] * 200
    alone = rate_interval(list(hard), words)
    paired = rate_interval(list((hard + (np.arange(200) % 10 == 0)) - hard), words)
    assert paired[1] - paired[0] < 0.2 * (alone[1] - alone[0])


def test_same_numbers_every_time_and_one_utterance_is_its_own_interval() -> None:
    assert rate_interval([1, 2, 3], [4, 5, 6]) == rate_interval([1, 2, 3], [4, 5, 6])
    assert rate_interval([1], [4]) == (0.25, 0.25)
