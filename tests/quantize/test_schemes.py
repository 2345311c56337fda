"""What every scheme keeps to, whatever it optimizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantkit.quantize.settings import Bits, BlockSize
from quantkit.quantize.storage.blocks import FloatArray
from quantkit.quantize.storage.packing import pack, unpack
from tests.quantize.every_scheme import MATRICES, SCHEMES, quantize
from tests.quantize.graphs import matrix

EVERY = pytest.mark.parametrize("scheme", SCHEMES)
WIDTH = pytest.mark.parametrize("bits", [2, 4, 8])


@pytest.mark.slow
@given(
    scheme=st.sampled_from(sorted(SCHEMES)),
    weight=MATRICES,
    bits=st.sampled_from([2, 4, 8]),
    size=st.sampled_from([16, 32, 64]),
)
@settings(max_examples=200, deadline=None)
def test_any_finite_matrix_is_stored_and_read_back(
    scheme: str, weight: FloatArray, bits: Bits, size: BlockSize
) -> None:
    rows, columns = weight.shape
    quantized = quantize(scheme, weight, bits, size)
    blocks = -(-rows // size)
    assert quantized.codes.shape == (columns, blocks, size)
    assert quantized.codes.max() < 2**bits
    assert quantized.zero_points.max() < 2**bits
    assert np.isfinite(quantized.scales).all()
    padding = quantized.codes.reshape(columns, -1)[:, rows:]
    assert (padding == quantized.zero_points[:, -1:]).all()

    back = unpack(pack(quantized))
    for name in ("codes", "scales", "zero_points", "bits", "rows"):
        np.testing.assert_array_equal(getattr(back, name), getattr(quantized, name))


# No weight of a block can miss by more than one step of the symmetric grid, largest / 2^(bits-1).
@EVERY
@WIDTH
@pytest.mark.parametrize(
    ("values", "share"),
    [
        (np.zeros(32), 0.0),
        (np.full(32, 0.3), 1e-6),
        (np.full(32, -2e-3), 1e-6),
        (np.r_[np.zeros(31), 7.0], 1e-6),
        (np.r_[-7.0, np.zeros(31)], 1e-6),
        (np.linspace(0.5, 1, 32), 1.0),
        (np.linspace(-11, -10, 32), 1.0),
        (np.linspace(-3e-39, 5e-39, 32), 1.0),
        (np.linspace(-1e30, 1e30, 32), 1.0),
    ],
    ids=["zero", "constant", "negative", "outlier", "below", "above", "one-sided", "tiny", "huge"],
)
def test_odd_blocks_are_stored_well(scheme: str, bits: Bits, values: Any, share: float) -> None:
    weight = np.repeat(values.astype(np.float32)[:, None], 3, axis=1)
    stored = quantize(scheme, weight, bits, 32).dequantize().astype(float)
    step = np.abs(values).max() / 2 ** (bits - 1)
    assert np.sqrt(((stored - weight) ** 2).mean()) <= share * step


@pytest.mark.slow
@EVERY
@pytest.mark.parametrize("blocks", [1, 2, 3, 5])
def test_a_matrix_that_ends_within_a_block_is_stored_like_one_padded_with_zeros(
    scheme: str, blocks: int
) -> None:
    weight = matrix(16 * blocks - 7, 5)
    quantized = quantize(scheme, weight, 4, 16)
    assert quantized.relative_error(weight) < 0.15
    assert quantized.dequantize().shape == weight.shape


@EVERY
@WIDTH
def test_more_bits_and_smaller_blocks_lose_less(scheme: str, bits: Bits) -> None:
    weight = matrix(256, 40)
    errors = [quantize(scheme, weight, bits, size).relative_error(weight) for size in (16, 64, 256)]
    assert errors == sorted(errors)
    if bits < 8:
        wider: Bits = 4 if bits == 2 else 8
        assert quantize(scheme, weight, wider, 64).relative_error(weight) < errors[1] / 3


@EVERY
@WIDTH
def test_same_bytes_every_time(scheme: str, bits: Bits) -> None:
    first, second = (quantize(scheme, matrix(100, 130), bits, 32) for _ in range(2))
    for name in ("codes", "scales", "zero_points"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()
