from __future__ import annotations

import pytest

from quantkit.bench.peaks import SIZE, Peaks, measure_peaks


@pytest.mark.slow
def test_peaks_are_rates_that_a_processor_can_have() -> None:
    """From a slow board to a big server: a wrong unit is off by a factor of at least 8."""
    found = measure_peaks(1)
    assert found.threads == 1
    assert 1e9 < found.read_bytes_per_s < 5e11
    assert 1e9 < found.integer_multiply_adds_per_s < 1e13
    assert SIZE**3 / found.integer_multiply_adds_per_s > 1e-4


def test_the_better_of_each_is_kept() -> None:
    assert Peaks(2, 5.0, 70.0).or_better(Peaks(2, 6.0, 60.0)) == Peaks(2, 6.0, 70.0)
