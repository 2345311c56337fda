from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from onnx import helper

from quantkit.quantize.blocks import FloatArray, QuantizedMatrix
from quantkit.quantize.kquant import k_quant
from quantkit.quantize.packing import pack, pack_bits, unpack, unpack_bits
from quantkit.quantize.rtn import round_to_nearest
from tests.quantize.graphs import matrix, run, save_graph


@given(
    bits=st.sampled_from([4, 8]),
    shape=arrays.array_shapes(max_dims=3, max_side=9),
    data=st.data(),
)
@settings(deadline=None)
def test_values_survive_packing(bits: int, shape: tuple[int, ...], data: Any) -> None:
    values = data.draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, 2**bits - 1)))
    packed = pack_bits(values, bits)
    assert packed.shape == (*shape[:-1], -(-shape[-1] * bits // 8))
    np.testing.assert_array_equal(unpack_bits(packed, bits, shape[-1]), values)


def test_the_first_value_is_in_the_low_bits_and_the_spare_ones_hold_the_middle() -> None:
    packed = pack_bits(np.array([[1, 2, 3]], np.uint8), 4)
    assert packed.tolist() == [[0x21, 0x83]]


@given(
    bits=st.sampled_from([4, 8]),
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
    parts: list[NDArray[Any] | None] = [packed.codes, packed.scales, packed.zero_points]
    assert packed.nbytes == sum(part.nbytes for part in parts if part is not None)


def test_zero_points_go_where_all_are_the_middle() -> None:
    assert pack(round_to_nearest(matrix(64, 3), 4, 32, symmetric=True)).zero_points is None
    assert pack(round_to_nearest(matrix(64, 3), 4, 32)).zero_points is not None


def runtime_product(
    tmp_path: Path, quantized: QuantizedMatrix, left: FloatArray, level: int
) -> FloatArray:
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
    path = save_graph(
        tmp_path / "product.onnx", [node], {"x": ["n", packed.rows]}, ["y"], constants
    )
    return run(path, x=left)[0]


CASES = [
    (bits, size, rows) for bits in (4, 8) for size in (16, 32, 64, 128, 256) for rows in (96, 75)
]


@pytest.mark.parametrize("scheme", ["kquant", "rtn", "symmetric"])
@pytest.mark.parametrize(("bits", "size", "rows"), CASES)
def test_the_runtime_multiplies_with_the_stored_weights(
    tmp_path: Path, bits: int, size: int, rows: int, scheme: str
) -> None:
    weight = matrix(rows, 33)
    quantized = (
        k_quant(weight, bits, size)
        if scheme == "kquant"
        else round_to_nearest(weight, bits, size, symmetric=scheme == "symmetric")
    )
    stored = quantized.dequantize()
    identity = np.eye(rows, dtype=np.float32)

    exact = runtime_product(tmp_path, quantized, identity, 0)
    np.testing.assert_array_equal(exact, stored)

    # Level 4 rounds the left side to int8 in blocks, which stores the rows of the identity exactly;
    # only the product's own float arithmetic is left.
    rounded = runtime_product(tmp_path, quantized, identity, 4)
    np.testing.assert_allclose(rounded, stored, atol=3e-6 * np.abs(stored).max())


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("count", [1, 2, 7, 14])
def test_products_of_few_rows_are_right(tmp_path: Path, bits: int, count: int) -> None:
    quantized = k_quant(matrix(160, 50), bits, 32)
    left = matrix(count, 160, 5)
    wanted = left.astype(float) @ quantized.dequantize()
    size = np.abs(wanted).max()
    exact = runtime_product(tmp_path, quantized, left, 0)
    np.testing.assert_allclose(exact, wanted, atol=1e-6 * size)
    rounded = runtime_product(tmp_path, quantized, left, 4)
    np.testing.assert_allclose(rounded, wanted, atol=0.02 * size)
