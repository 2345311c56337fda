"""How sure a rate over utterances is: the bootstrap, utterances drawn as they were spoken.

Errors of one utterance depend on each other, utterances do not: whole utterances are drawn, with
replacement (Bisani and Ney, 2004). All systems are judged on the same draws, which pairs them:
what every system finds hard cancels in their difference. Intervals are percentiles of the draws
(Efron and Tibshirani, 1993).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE, POWER, RESAMPLES, SEED = 0.95, 0.8, 10_000, 20261125
# Multiplicities drawn at once: 1 MB, which a core's cache holds.
CELLS = 2**17

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A measured number and what it came to in every resample.

    Two estimates on the same draws may be subtracted: that is the paired difference.

    Attributes:
        value: as measured.
        draws: float64 [resamples].
    """

    value: float
    draws: Array

    def __sub__(self, other: Estimate) -> Estimate:
        return Estimate(self.value - other.value, self.draws - other.draws)

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """The percentile interval."""
        tail = (1 - confidence) / 2
        low, high = np.quantile(self.draws, [tail, 1 - tail])
        return float(low), float(high)

    def upper(self, confidence: float) -> float:
        """The one-sided bound that the number is below with this confidence."""
        return float(np.quantile(self.draws, confidence))

    def lower(self, confidence: float) -> float:
        """The one-sided bound that the number is above with this confidence."""
        return float(np.quantile(self.draws, 1 - confidence))

    def p_value(self) -> float:
        """Two-sided, of a difference: twice the share of draws that are not on its side of zero.

        The measured difference counts as one more draw on either side (Davison and Hinkley, 1997,
        4.11), so it is never zero; equal systems have 1.
        """
        against = min((self.draws <= 0).sum(), (self.draws >= 0).sum())
        return min(1.0, 2 * (int(against) + 1) / (len(self.draws) + 1))

    def standard_error(self) -> float:
        """The standard deviation of the draws."""
        return float(self.draws.std(ddof=1))

    def minimum_detectable(
        self, confidence: float = CONFIDENCE, power: float = POWER
    ) -> float | None:
        """The smallest true difference that such a suite shows with this power.

        (z of confidence, two-sided, + z of power) standard errors. None where no error can be
        estimated: of one utterance, or of systems that differ alike everywhere or nowhere.
        """
        normal = NormalDist()
        error = self.standard_error()
        if error == 0:
            return None
        return (normal.inv_cdf((1 + confidence) / 2) + normal.inv_cdf(power)) * error


def rates(
    counts: ArrayLike,
    sizes: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    name: str = "",
) -> list[Estimate]:
    """sum(counts) / sum(sizes) of each system, on the same draws for all of them.

    A draw that has no size at all says nothing of a rate: it takes the measured one.

    Args:
        counts: of each utterance, for example its word errors. [systems, n]
        sizes: for example its words. [n], or [systems, n] where systems have their own.
        resamples: how many.
        seed: of the draws.
        name: of the set. Another one has other draws, so that sets are independent; they depend
            on nothing else than seed, name, n and resamples.

    Raises:
        ValueError: a system has no size, so it has no rate.
    """
    counted = np.atleast_2d(np.asarray(counts, np.float64))
    sized = np.atleast_2d(np.asarray(sizes, np.float64))
    if not (sized.sum(axis=1) > 0).all():
        raise ValueError("the sizes of a system add up to nothing, so it has no rate")
    chance = np.random.default_rng([seed, *name.encode()])
    drawn = _resampled_sums(np.concatenate([counted, sized]), resamples, chance)
    drawn_counts, drawn_sizes = np.split(drawn, [len(counted)])
    values = counted.sum(axis=1) / sized.sum(axis=1)
    draws = np.repeat(values[:, None], resamples, axis=1)
    np.divide(drawn_counts, drawn_sizes, out=draws, where=drawn_sizes > 0)
    return [Estimate(float(value), row) for value, row in zip(values, draws, strict=True)]


def mean(estimates: Sequence[Estimate]) -> Estimate:
    """The macro average: every set weighs the same, and was drawn on its own."""
    return Estimate(
        float(np.mean([estimate.value for estimate in estimates])),
        np.mean([estimate.draws for estimate in estimates], axis=0),
    )


def rate_interval(counts: Sequence[float], sizes: Sequence[float]) -> tuple[float, float]:
    """95 % interval of sum(counts) / sum(sizes), [n] each.

    With counts of two systems on the same utterances subtracted, that of their paired difference.
    """
    [estimate] = rates(counts, sizes)
    return estimate.interval()


def _resampled_sums(values: Array, resamples: int, chance: np.random.Generator) -> Array:
    """Sums [columns, resamples] of values [columns, n] over n utterances drawn with replacement.

    How often each utterance was drawn, times the values, is one product of matrices for all
    columns; integers below 2^53 are summed exactly, whatever the order.
    """
    n = values.shape[1]
    batch = max(1, CELLS // n)
    sums = np.empty((len(values), resamples))
    for begin in range(0, resamples, batch):
        rows = min(batch, resamples - begin)
        drawn = chance.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        sums[:, begin : begin + rows] = values @ times.T.astype(np.float64)
    return sums
