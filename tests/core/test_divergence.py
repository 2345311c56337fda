"""Divergences against scipy's."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax as scipy_log_softmax
from scipy.special import rel_entr

from quantkit.core.divergence import kl_divergence, log_softmax, margins


def test_log_softmax_and_kl_equal_scipy() -> None:
    random = np.random.default_rng(1)
    a, b = (random.standard_normal((50, 33)).astype(np.float32) * 5 for _ in range(2))
    p, q = log_softmax(a), log_softmax(b)
    np.testing.assert_allclose(p, scipy_log_softmax(a.astype(np.float64), axis=1), atol=1e-12)
    expected = rel_entr(np.exp(p), np.exp(q)).sum(axis=1)
    np.testing.assert_allclose(kl_divergence(p, q), expected, rtol=1e-9)


def test_kl_of_equals_is_zero_and_never_negative() -> None:
    p = log_softmax(np.random.default_rng(2).standard_normal((9, 7)).astype(np.float32))
    assert (kl_divergence(p, p) == 0).all()


def test_margins() -> None:
    rows = np.log(np.array([[0.5, 0.25, 0.25], [0.4, 0.2, 0.4]]))
    np.testing.assert_allclose(margins(rows), [np.log(2), 0], atol=1e-12)
