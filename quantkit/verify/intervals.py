"""How sure a rate over utterances is: bootstrap intervals, utterances drawn as they were spoken."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE, RESAMPLES, SEED = 0.95, 10_000, 20261125
# Resamples that are worked on at once; bounds the memory.
BATCH = 500


def rate_interval(counts: Sequence[float], sizes: Sequence[float]) -> tuple[float, float]:
    """95 % percentile interval of sum(counts) / sum(sizes), resampling utterances.

    Count and size of an utterance stay together: with counts of two systems on the same utterances
    subtracted, this is the paired bootstrap of their difference (Bisani and Ney, 2004).

    Args:
        counts: of each utterance, for example its word errors. [n], n > 0.
        sizes: for example its words. [n], not all zero in any likely draw.
    """
    both = np.array([counts, sizes], np.float64)
    if both.shape[1] == 1:
        rate = float(both[0, 0] / both[1, 0])
        return rate, rate
    found = stats.bootstrap(
        tuple(both),
        _rate,
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        batch=BATCH,
        rng=np.random.default_rng(SEED),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _rate(
    counts: NDArray[np.float64], sizes: NDArray[np.float64], axis: int = -1
) -> NDArray[np.float64]:
    rates: NDArray[np.float64] = counts.sum(axis=axis) / sizes.sum(axis=axis)
    return rates
