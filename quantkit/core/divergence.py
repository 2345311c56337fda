"""How far two sets of distributions are apart, and whether a difference is a tie."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# A reference decision this close between its best two symbols (in nats) has no winner: float
# rounding through another summation order is enough to turn it.
NEAR_TIE = 1e-3


def log_softmax(logits: Array) -> NDArray[np.float64]:
    """Log-probabilities over the last axis, float64."""
    shifted = logits - logits.max(axis=-1, keepdims=True).astype(np.float64)
    log_probabilities: NDArray[np.float64] = shifted - np.log(
        np.exp(shifted).sum(axis=-1, keepdims=True)
    )
    return log_probabilities


def kl_divergence(
    reference: NDArray[np.floating], candidate: NDArray[np.floating]
) -> NDArray[np.float64]:
    """KL(reference || candidate) in nats of log-probabilities [decisions, V], per decision."""
    expected = reference.astype(np.float64)
    terms: NDArray[np.float64] = np.exp(expected) * (expected - candidate)
    # Rounding can leave a sum of equal distributions just below zero.
    sums: NDArray[np.float64] = terms.sum(axis=-1).clip(min=0.0)
    return sums


def margins(log_probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Distance in nats between the best and the second best symbol, per decision."""
    best = np.partition(log_probabilities.astype(np.float64), -2, axis=-1)[:, -2:]
    return best[:, 1] - best[:, 0]
