from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quantkit.quantize.schemes.registry import quantize_matrix
from quantkit.quantize.schemes.rtn import round_to_nearest
from quantkit.quantize.settings import RtnSettings
from quantkit.quantize.storage.blocks import FloatArray


def blocks_of(weight: FloatArray, size: int) -> NDArray[np.float64]:
    rows, columns = weight.shape
    padded = np.zeros((-(-rows // size) * size, columns))
    padded[:rows] = weight
    return padded.T.reshape(columns, -1, size)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(("rows", "columns", "size"), [(128, 70, 32), (100, 3, 32), (16, 1, 256)])
def test_asymmetric_is_the_textbook_formula(bits: int, rows: int, columns: int, size: int) -> None:
    weight = np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32)
    top = 2**bits - 1

    result = round_to_nearest(weight, bits, size)

    blocks = blocks_of(weight, size)
    low = np.minimum(blocks.min(axis=2), 0)
    high = np.maximum(blocks.max(axis=2), 0)
    scale = ((high - low) / top).astype(np.float32)
    zero = np.rint(-low / scale)
    codes = np.clip(np.rint(blocks / scale[:, :, None].astype(float) + zero[:, :, None]), 0, top)
    np.testing.assert_array_equal(result.scales, scale)
    np.testing.assert_array_equal(result.zero_points, zero)
    np.testing.assert_array_equal(result.codes, codes)
    assert result.dequantize().shape == weight.shape


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_symmetric_keeps_the_middle_zero_point_and_reaches_the_extreme(bits: int) -> None:
    weight = np.random.default_rng(1).standard_normal((64, 9)).astype(np.float32)

    result = round_to_nearest(weight, bits, 32, symmetric=True)

    assert (result.zero_points == 2 ** (bits - 1)).all()
    blocks = blocks_of(weight, 32)
    where = np.abs(blocks).argmax(axis=2)[:, :, None]
    codes = np.take_along_axis(result.codes, where, axis=2)
    assert (codes == 0).all()
    stored = blocks_of(result.dequantize(), 32)
    extreme = np.take_along_axis(blocks, where, axis=2)
    np.testing.assert_allclose(np.take_along_axis(stored, where, axis=2), extreme, rtol=1e-6)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(
    ("name", "values", "error"),
    [
        ("zero", np.zeros(32), 0.0),
        ("constant", np.full(32, 0.3), 1e-7),
        ("negative constant", np.full(32, -0.3), 1e-7),
        ("one-sided", np.linspace(0.5, 1, 32), 0.1),
        ("outlier", np.r_[np.zeros(31), 7.0], 1e-7),
        ("denormal", np.linspace(-3e-39, 5e-39, 32), 0.1),
        ("smallest denormal", np.r_[np.zeros(31), 1e-45], 1.0),
        ("huge", np.linspace(-1e38, 1e38, 32), 0.1),
    ],
)
def test_odd_blocks_are_stored_well(name: str, values: Any, error: float, symmetric: bool) -> None:
    weight = values.astype(np.float32)[:, None]
    result = round_to_nearest(weight, 4, 32, symmetric=symmetric)
    assert np.isfinite(result.scales).all()
    assert result.codes.max() <= 15
    assert result.relative_error(weight) <= error


def test_padding_past_the_last_row_stores_zeros() -> None:
    weight = np.full((20, 5), 0.7, np.float32)
    result = round_to_nearest(weight, 4, 16)
    padded = result.codes.reshape(5, -1)[:, 20:]
    assert (padded == result.zero_points[:, 1:]).all()


def test_settings_run_the_algorithm() -> None:
    weight = np.random.default_rng(2).standard_normal((64, 4)).astype(np.float32)
    settings = RtnSettings(bits=8, block_size=16, symmetric=True)
    direct = round_to_nearest(weight, 8, 16, symmetric=True)
    np.testing.assert_array_equal(quantize_matrix(weight, settings, None).codes, direct.codes)
    assert not settings.needs_activations
