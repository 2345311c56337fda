from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from quantkit.quantize.moments import InputMoments
from quantkit.quantize.schemes.kquant import k_quant, weight_importance
from quantkit.quantize.schemes.registry import quantize_matrix
from quantkit.quantize.schemes.rtn import round_to_nearest
from quantkit.quantize.settings import KQuantSettings
from quantkit.quantize.storage.blocks import FloatArray, QuantizedMatrix
from tests.quantize import weights

SLACK = 1 + 1e-12  # two float64 sums in different order


def cost_of(
    importance: Any, weight: FloatArray, size: int, activations: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    return {
        "none": None,
        "weight": weight_importance(weight, size),
        "activation": activations,
    }[importance]


def assert_never_worse(
    weight: FloatArray, bits: int, size: int, importance: Any, activations: NDArray[np.float64]
) -> QuantizedMatrix:
    result = k_quant(weight, bits, size, importance, activations)
    cost = cost_of(importance, weight, size, activations)
    errors = result.block_errors(weight, cost)
    for symmetric in (False, True):
        rtn = round_to_nearest(weight, bits, size, symmetric=symmetric)
        assert (errors <= rtn.block_errors(weight, cost) * SLACK).all()
    assert result.codes.max() <= 2**bits - 1
    assert np.isfinite(result.scales).all()
    return result


@pytest.mark.parametrize("importance", ["none", "weight", "activation"])
@pytest.mark.parametrize("kind", weights.KINDS)
@pytest.mark.parametrize(("bits", "size"), [(2, 32), (2, 64), (4, 16), (4, 32), (4, 128), (8, 32)])
def test_no_block_is_worse_than_round_to_nearest(
    bits: int, size: int, kind: str, importance: Any
) -> None:
    weight = weights.heavy(kind, 300, 70)
    activations = np.random.default_rng(1).lognormal(size=300)
    assert_never_worse(weight, bits, size, importance, activations)


@pytest.mark.slow
@given(
    weight=arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=40),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
        | st.sampled_from([0.0, 1.0, -1.0, 1e-45, -1e-40, 3e38]),
    ),
    bits=st.sampled_from([2, 4, 8]),
    size=st.sampled_from([16, 32]),
    importance=st.sampled_from(["none", "weight", "activation"]),
    seed=st.integers(0, 9),
)
@settings(max_examples=200, deadline=None)
def test_any_finite_matrix_is_stored_no_worse(
    weight: FloatArray, bits: int, size: int, importance: Any, seed: int
) -> None:
    activations = np.random.default_rng(seed).choice([0.0, 1e-30, 1.0, 5.0], weight.shape[0])
    with np.errstate(over="ignore"):
        assert_never_worse(np.ascontiguousarray(weight), bits, size, importance, activations)


@pytest.mark.slow
@pytest.mark.parametrize("kind", weights.KINDS)
@pytest.mark.parametrize(("importance", "bound"), [("weight", 0.88), ("activation", 0.83)])
def test_beats_olive_at_four_bits(kind: str, importance: Any, bound: float) -> None:
    weight = weights.heavy(kind, 1024, 256)
    activations = np.random.default_rng(2).lognormal(size=1024)
    cost = cost_of(importance, weight, 32, activations)
    ours = k_quant(weight, 4, 32, importance, activations).block_errors(weight, cost).mean()
    olive = weights.olive_kquant(weight, 4, 32).block_errors(weight, cost).mean()
    assert ours <= bound * olive


def test_beats_olive_at_eight_bits() -> None:
    weight = weights.heavy("laplace", 1024, 64)
    cost = weight_importance(weight, 32)
    ours = k_quant(weight, 8, 32).block_errors(weight, cost).mean()
    olive = weights.olive_kquant(weight, 8, 32).block_errors(weight, cost).mean()
    assert ours <= 0.78 * olive


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (np.zeros(32), 0.0),
        (np.full(32, 0.3), 1e-7),
        (np.full(32, -2e-3), 1e-7),
        (np.linspace(0.5, 1, 32), 0.03),
        (np.linspace(10, 11, 32), 0.02),
        (np.linspace(-1, -0.5, 32), 0.03),
        (np.r_[np.zeros(31), 7.0], 1e-7),
        (np.linspace(-3e-39, 5e-39, 32), 0.06),
        (np.linspace(-1e38, 1e38, 32), 0.061),
    ],
)
@pytest.mark.parametrize("importance", ["none", "weight"])
def test_odd_blocks_are_stored_well(values: Any, error: float, importance: Any) -> None:
    weight = values.astype(np.float32)[:, None]
    assert k_quant(weight, 4, 32, importance).relative_error(weight) <= error


@pytest.mark.parametrize("importance", ["weight", "activation"])
@pytest.mark.parametrize("kind", weights.KINDS)
@pytest.mark.parametrize(("bits", "size"), [(2, 32), (2, 64), (4, 32)])
def test_search_comes_close_to_trying_everything(
    bits: int, size: int, kind: str, importance: Any
) -> None:
    weight = weights.heavy(kind, size, 40)
    activations = np.random.default_rng(2).lognormal(size=size)
    given = cost_of(importance, weight, size, activations)
    block, cost = weight.astype(float), np.broadcast_to(np.asarray(given).T, (40, size)).T
    top = 2**bits - 1
    best = np.full(40, np.inf)
    spread = (np.maximum(block.max(0), 0) - np.minimum(block.min(0), 0)) / top
    for zero in range(top + 1):
        for clip in np.arange(0.1, 1.4, 0.004):
            scale = clip * spread
            units = np.clip(np.rint(block / scale) + zero, 0, top) - zero
            curve = (cost * units**2).sum(0)
            refit = (cost * units * block).sum(0) / np.where(curve > 0, curve, 1)
            best = np.minimum(best, (cost * (refit * units - block) ** 2).sum(0))
    found = k_quant(weight, bits, size, importance, activations).block_errors(weight, given)[:, 0]
    assert found.sum() <= 1.005 * best.sum()


@pytest.mark.parametrize("kind", weights.KINDS)
@pytest.mark.parametrize(("importance", "bound"), [("weight", 0.8), ("activation", 0.7)])
def test_beats_round_to_nearest_at_two_bits(kind: str, importance: Any, bound: float) -> None:
    weight = weights.heavy(kind, 1024, 64)
    activations = np.random.default_rng(2).lognormal(size=1024)
    cost = cost_of(importance, weight, 64, activations)
    ours = k_quant(weight, 2, 64, importance, activations).block_errors(weight, cost).mean()
    nearest = round_to_nearest(weight, 2, 64).block_errors(weight, cost).mean()
    assert ours <= bound * nearest


def test_important_rows_come_out_better() -> None:
    weight = weights.heavy("gauss", 64, 200)
    activations = np.where(np.arange(64) % 8 == 0, 100.0, 1.0)
    plain = k_quant(weight, 4, 64, "none").dequantize() - weight
    aimed = k_quant(weight, 4, 64, "activation", activations).dequantize() - weight
    important = activations > 1
    assert (aimed[important] ** 2).sum() < 0.6 * (plain[important] ** 2).sum()


def test_activations_are_required_and_have_one_number_per_row() -> None:
    weight = weights.heavy("gauss", 32, 4)
    with pytest.raises(ValueError, match="found none"):
        k_quant(weight, 4, 32, "activation")
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        k_quant(weight, 4, 32, "activation", np.ones(4))


def test_settings_run_the_algorithm() -> None:
    weight = weights.heavy("gauss", 64, 4)
    activations = np.linspace(1, 2, 64)
    chosen = KQuantSettings(bits=8, block_size=16, importance="activation")
    direct = k_quant(weight, 8, 16, "activation", activations)
    found = quantize_matrix(weight, chosen, InputMoments(activations))
    np.testing.assert_array_equal(found.codes, direct.codes)
    assert chosen.needs_activations
    assert not KQuantSettings().needs_activations
