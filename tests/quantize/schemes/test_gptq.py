from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quantkit.core.errors import InputError
from quantkit.quantize.moments import InputMoments
from quantkit.quantize.schemes.gptq import _places, gptq
from quantkit.quantize.schemes.kquant import k_quant
from quantkit.quantize.schemes.registry import quantize_matrix
from quantkit.quantize.settings import GptqSettings
from quantkit.quantize.storage.blocks import FloatArray, QuantizedMatrix
from tests.quantize import weights


def speech_like(rows: int, samples: int, seed: int = 0) -> NDArray[np.float64]:
    """Second moments of inputs that resemble their neighbors and differ in size.

    The sizes are those of the channels; the seed draws the samples.
    """
    inputs = np.random.default_rng(seed).standard_normal((samples, rows))
    for row in range(1, rows):
        inputs[:, row] = 0.9 * inputs[:, row - 1] + 0.44 * inputs[:, row]
    inputs *= np.random.default_rng(1).lognormal(0.0, 0.7, rows)
    return inputs.T @ inputs / samples


def damped(hessian: NDArray[np.float64], damping: float = 0.01) -> NDArray[np.float64]:
    return hessian + damping * np.trace(hessian) / len(hessian) * np.eye(len(hessian))


def output_error(
    quantized: QuantizedMatrix, weight: FloatArray, hessian: NDArray[np.float64]
) -> float:
    rest = quantized.dequantize().astype(float) - weight
    return float((rest * (hessian @ rest)).sum())


@pytest.mark.parametrize("kind", weights.KINDS)
@pytest.mark.parametrize(("bits", "size"), [(2, 32), (4, 32), (4, 128), (8, 64)])
def test_correlated_inputs_cost_less_than_half_of_a_search_of_each_block(
    kind: str, bits: int, size: int
) -> None:
    weight = weights.heavy(kind, 300, 70)
    hessian = speech_like(300, 2000)
    alone = k_quant(weight, bits, size, "activation", hessian.diagonal().copy())
    found = gptq(weight, hessian, bits, size)
    assert output_error(found, weight, hessian) < 0.5 * output_error(alone, weight, hessian)


def test_what_was_learned_on_some_inputs_holds_on_others() -> None:
    weight = weights.heavy("laplace", 256, 64)
    olive = weights.olive_kquant(weight, 4, 32)
    found = gptq(weight, speech_like(256, 1000, seed=0), 4, 32)
    held_out = speech_like(256, 1000, seed=1)
    assert output_error(found, weight, held_out) <= 0.5 * output_error(olive, weight, held_out)


def test_independent_inputs_leave_nothing_to_make_up_for() -> None:
    weight = weights.heavy("student", 75, 9)
    for order in ("activation", "stored"):
        found = gptq(weight, np.eye(75), 4, 32, order=order, sweeps=0)
        plain = k_quant(weight, 4, 32, "none")
        for name in ("codes", "scales", "zero_points"):
            np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))


@pytest.mark.slow
@given(
    rows=st.integers(1, 70),
    columns=st.integers(1, 5),
    bits=st.sampled_from([2, 4, 8]),
    grid=st.sampled_from(["rtn", "kquant"]),
    order=st.sampled_from(["activation", "stored"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_sweeps_only_improve_and_end_where_no_single_code_can(
    rows: int, columns: int, bits: int, grid: Any, order: Any, seed: int
) -> None:
    weight = weights.heavy("gauss", rows, columns, seed)
    hessian = speech_like(rows, 2 * rows + 1, seed)

    def after(sweeps: int) -> tuple[QuantizedMatrix, float]:
        found = gptq(weight, hessian, bits, 16, grid=grid, order=order, sweeps=sweeps)
        return found, output_error(found, weight, damped(hessian))

    errors = [after(sweeps)[1] for sweeps in (0, 1, 2, 20)]
    # Sums in float32 decide which of two codes is better where they are as good as each other.
    assert all(b <= a * (1 + 1e-4) + 1e-12 for a, b in pairwise(errors))

    found, least = after(20)
    assert found.codes.max() < 2**bits
    for row in range(0, rows, 7):
        for change in (-1, 1):
            codes = found.codes.astype(int)
            codes[:, row // 16, row % 16] += change
            if codes.min() < 0 or codes.max() >= 2**bits:
                continue
            moved = QuantizedMatrix(
                codes.astype(np.uint8), found.scales, found.zero_points, bits, rows
            )
            assert output_error(moved, weight, damped(hessian)) >= least * (1 - 1e-3)


@given(rows=st.integers(1, 200), size=st.sampled_from([16, 32, 64]), seed=st.integers(0, 99))
@settings(deadline=None)
def test_places_are_an_order_of_blocks_and_of_rows_within(rows: int, size: int, seed: int) -> None:
    importance = np.random.default_rng(seed).lognormal(size=rows)
    places = _places(importance, size, "activation")
    assert sorted(places) == list(range(rows))
    blocks = places // size
    assert np.count_nonzero(np.diff(blocks)) == len(set(blocks)) - 1, "a block is in one piece"
    totals = np.bincount(np.arange(rows) // size, importance)[blocks]
    assert (np.diff(totals) >= 0).all(), "the heaviest block is last, so first"
    same = np.diff(blocks) == 0
    assert (np.diff(importance[places])[same] >= 0).all()
    assert _places(importance, size, "stored").tolist() == list(range(rows))[::-1]


def test_inputs_that_never_vary_and_too_little_speech_are_no_obstacle() -> None:
    weight = weights.heavy("gauss", 96, 8)
    few = speech_like(96, 20)
    few[:, 5] = few[5, :] = 0.0
    for hessian in (few, np.zeros((96, 96))):
        found = gptq(weight, hessian, 4, 32)
        assert np.isfinite(found.dequantize()).all()
        assert found.relative_error(weight) < 0.25


def test_a_wrong_hessian_is_refused() -> None:
    weight = weights.heavy("gauss", 32, 4)
    with pytest.raises(ValueError, match=r"\[32, 32\] is needed; found \[31, 31\]"):
        gptq(weight, np.eye(31), 4, 32)
    upset = np.eye(32)
    upset[3, 4] = upset[4, 3] = 9.0
    with pytest.raises(InputError, match=r"not positive definite.*quantize\.damping"):
        gptq(weight, upset, 4, 32)


def test_settings_run_the_algorithm() -> None:
    weight, hessian = weights.heavy("gauss", 64, 4), speech_like(64, 200).astype(np.float32)
    chosen = GptqSettings(bits=8, block_size=16, grid="rtn", order="stored", sweeps=1)
    moments = InputMoments(hessian.diagonal().astype(float), hessian)
    direct = gptq(weight, hessian, 8, 16, grid="rtn", order="stored", sweeps=1)
    np.testing.assert_array_equal(quantize_matrix(weight, chosen, moments).codes, direct.codes)
    assert chosen.needs_hessians
    assert chosen.needs_activations
    with pytest.raises(ValueError, match="needs the Hessian"):
        quantize_matrix(weight, chosen, InputMoments(moments.diagonal))
