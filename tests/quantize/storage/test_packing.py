from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from onnx import helper

from quantkit.quantize.schemes.kquant import k_quant
from quantkit.quantize.schemes.rtn import round_to_nearest
from quantkit.quantize.settings import Bits, BlockSize
from quantkit.quantize.storage.blocks import FloatArray, QuantizedMatrix
from quantkit.quantize.storage.packing import pack, pack_bits, unpack, unpack_bits
from tests.quantize.every_scheme import MATRICES, SCHEMES, quantize
from tests.quantize.graphs import matrix, run, save_graph


@given(
    bits=st.sampled_from([2, 4, 8]),
    shape=arrays.array_shapes(max_dims=3, max_side=9),
    data=st.data(),
)
@settings(deadline=None)
def test_values_survive_packing(bits: int, shape: tuple[int, ...], data: Any) -> None:
    values = data.draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, 2**bits - 1)))
    packed = pack_bits(values, bits)
    assert packed.shape == (*shape[:-1], -(-shape[-1] * bits // 8))
    np.testing.assert_array_equal(unpack_bits(packed, bits, shape[-1]), values)


@pytest.mark.parametrize(
    ("bits", "values", "packed"),
    [
        (4, [1, 2, 3], [0x21, 0x83]),
        (4, [1, 2], [0x21]),
        (2, [0, 1, 2, 3], [0b11100100]),
        (2, [3, 0, 1], [0b10010011]),
        (2, [0, 1, 2, 3, 3], [0b11100100, 0b10101011]),
        (8, [1, 255], [1, 255]),
    ],
)
def test_the_first_value_is_in_the_low_bits_and_the_spare_ones_hold_the_middle(
    bits: int, values: list[int], packed: list[int]
) -> None:
    assert pack_bits(np.array([values], np.uint8), bits).tolist() == [packed]


@pytest.mark.slow
@given(
    bits=st.sampled_from([2, 4, 8]),
    size=st.sampled_from([16, 32, 64]),
    rows=st.integers(1, 100),
    columns=st.integers(1, 9),
    symmetric=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=50, deadline=None)
def test_matrices_survive_packing(
    bits: int, size: int, rows: int, columns: int, symmetric: bool, seed: int
) -> None:
    quantized = round_to_nearest(matrix(rows, columns, seed), bits, size, symmetric=symmetric)
    packed = pack(quantized)
    back = unpack(packed)
    for name in ("codes", "scales", "zero_points", "bits", "rows"):
        np.testing.assert_array_equal(getattr(back, name), getattr(quantized, name))
    np.testing.assert_array_equal(back.dequantize(), quantized.dequantize())


def test_zero_points_go_where_all_are_the_middle() -> None:
    assert pack(round_to_nearest(matrix(64, 3), 4, 32, symmetric=True)).zero_points is None
    assert pack(round_to_nearest(matrix(64, 3), 4, 32)).zero_points is not None


def runtime_product(quantized: QuantizedMatrix, left: FloatArray, level: int) -> FloatArray:
    packed = pack(quantized)
    constants: dict[str, NDArray[Any]] = {"b": packed.codes, "s": packed.scales}
    if packed.zero_points is not None:
        constants["z"] = packed.zero_points
    attributes: dict[str, Any] = {"accuracy_level": level} if level else {}
    node = helper.make_node(
        "MatMulNBits",
        ["x", *constants],
        ["y"],
        domain="com.microsoft",
        K=packed.rows,
        N=packed.columns,
        bits=packed.bits,
        block_size=packed.block_size,
        **attributes,
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "product.onnx"
        save_graph(path, [node], {"x": ["n", packed.rows]}, ["y"], constants)
        return run(path, x=left)[0]


def assert_the_runtime_has(quantized: QuantizedMatrix) -> None:
    stored = quantized.dequantize()
    identity = np.eye(quantized.rows, dtype=np.float32)
    np.testing.assert_array_equal(runtime_product(quantized, identity, 0), stored)
    # Level 4 rounds the left side to int8 in blocks, which stores the rows of the identity exactly;
    # only the product's own float arithmetic is left: 127 times a code times a product of scales,
    # which is off by a whole step where it is denormal.
    rounded = runtime_product(quantized, identity, 4)
    denormal = 127 * 2**quantized.bits * float(np.finfo(np.float32).smallest_subnormal)
    np.testing.assert_allclose(rounded, stored, atol=3e-6 * np.abs(stored).max() + denormal)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("rows", [96, 75])
def test_the_runtime_multiplies_with_the_stored_weights(
    scheme: str, bits: Bits, size: BlockSize, rows: int
) -> None:
    assert_the_runtime_has(quantize(scheme, matrix(rows, 33), bits, size))


@pytest.mark.slow
@given(
    scheme=st.sampled_from(sorted(SCHEMES)),
    weight=MATRICES,
    bits=st.sampled_from([2, 4, 8]),
    size=st.sampled_from([16, 32, 64]),
)
@settings(max_examples=60, deadline=None)
def test_the_runtime_has_any_matrix(
    scheme: str, weight: FloatArray, bits: Bits, size: BlockSize
) -> None:
    assert_the_runtime_has(quantize(scheme, weight, bits, size))


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("count", [1, 2, 7, 14])
def test_products_of_few_rows_are_right(bits: int, count: int) -> None:
    quantized = k_quant(matrix(160, 50), bits, 32)
    left = matrix(count, 160, 5)
    wanted = left.astype(float) @ quantized.dequantize()
    size = np.abs(wanted).max()
    exact = runtime_product(quantized, left, 0)
    np.testing.assert_allclose(exact, wanted, atol=1e-6 * size)
    rounded = runtime_product(quantized, left, 4)
    np.testing.assert_allclose(rounded, wanted, atol=0.02 * size)
