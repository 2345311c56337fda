"""Summaries of times taken on a noisy machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SEED, _RESAMPLES = 20261123, 2000


@dataclass(frozen=True)
class Ratio:
    """Median of paired ratios with its bootstrap 95 % interval."""

    median: float
    low: float
    high: float


def percentiles_ms(seconds: ArrayLike) -> dict[str, float]:
    """Median, 95th and 99th percentile of times [n] in seconds, as milliseconds."""
    values = np.percentile(np.asarray(seconds) * 1000, [50, 95, 99])
    return {f"p{rank}": float(value) for rank, value in zip((50, 95, 99), values, strict=True)}


def paired_ratio(a: ArrayLike, b: ArrayLike) -> Ratio:
    """How many times longer `a` takes than `b`, [n] each, taken in the same rounds.

    Pairing by round takes out what slows the machine for longer than a round.
    """
    ratios: NDArray[np.float64] = np.asarray(a, dtype=np.float64) / np.asarray(b)
    chance = np.random.default_rng(_SEED)
    drawn = chance.choice(ratios, (_RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return Ratio(float(np.median(ratios)), float(low), float(high))
