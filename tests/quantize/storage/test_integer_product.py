"""Integer products through the runtime, against numpy's integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from quantkit.build.onnx_file import quantize_file
from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.graph.files import load_model
from quantkit.quantize.settings import Int8DynamicSettings
from quantkit.quantize.storage.blocks import QuantizedMatrix
from quantkit.quantize.storage.integer_product import RELU, SIGNED, SILU, RowGrid
from quantkit.quantize.storage.packing import signed, unsigned
from quantkit.quantize.storage.stored import stored_tensors
from tests.quantize.graphs import matrix, run, save_graph

MICROSOFT = "com.microsoft"
DIM, COLUMNS = 160, 72


def quantize(path: Path) -> Path:
    out = path.with_name("small.onnx")
    quantize_file(path, Int8DynamicSettings(), out, Silent())
    return out


def product(path: Path, shape: list[int | str]) -> Path:
    """MatMul(x, w [DIM, COLUMNS]), quantized."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    return quantize(save_graph(path, nodes, {"x": shape}, ["y"], {"w": matrix(DIM, COLUMNS)}))


def speechlike(rows: int, seed: int = 0) -> NDArray[np.float32]:
    """Rows of very different size, some with a value far outside."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, DIM)) * 10.0 ** rng.uniform(-6, 6, (rows, 1))
    x[::3, 5] *= 100
    return x.astype(np.float32)


def quantized_rows(
    x: NDArray[np.float32], grid: RowGrid
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Codes less their zero [..., K], and scales [..., 1], in the runtime's float32."""
    largest = (np.abs(x) if grid.signed else x).max(axis=-1, keepdims=True)
    scale = np.maximum(largest / np.float32(255 - grid.zero), np.float32(grid.least))
    codes = np.clip(np.rint(x / scale) + grid.zero, 0, 255)
    return codes.astype(np.int64) - grid.zero, scale


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 2, 7, 33])
def test_the_product_is_that_of_the_integers_which_are_stored(tmp_path: Path, rows: int) -> None:
    path = product(tmp_path / "net.onnx", ["rows", DIM])
    (stored,) = stored_tensors(load_model(path))
    quantized = stored.read()
    assert isinstance(quantized, QuantizedMatrix)
    x = speechlike(rows)
    codes, scale = quantized_rows(x, SIGNED)
    units = quantized.codes[:, 0].astype(np.int64) - quantized.zero_points.astype(np.int64)
    sums = (codes @ units.T).astype(np.float32)
    np.testing.assert_array_equal(run(path, x=x)[0], sums * quantized.scales[:, 0] * scale)


def test_a_row_has_the_same_bits_whatever_rows_are_beside_it(tmp_path: Path) -> None:
    path = product(tmp_path / "net.onnx", ["batch", "steps", DIM])
    x = speechlike(8 * 7).reshape(8, 7, DIM)
    together = run(path, x=x)[0]
    for count in (1, 3, 5):
        np.testing.assert_array_equal(run(path, x=x[2 : 2 + count])[0], together[2 : 2 + count])
    np.testing.assert_array_equal(run(path, x=x[::-1].copy())[0], together[::-1])
    np.testing.assert_array_equal(run(path, x=x[:, 4:5].copy())[0], together[:, 4:5])


def test_rows_of_zeros_and_of_the_smallest_and_largest_numbers(tmp_path: Path) -> None:
    path = product(tmp_path / "net.onnx", ["rows", DIM])
    unit = matrix(1, DIM)
    plain, zeros, small, large = run(path, x=np.concatenate([unit, 0 * unit]))[0].tolist() + [
        run(path, x=unit * np.float32(factor))[0][0] for factor in (2.0**-120, 2.0**120)
    ]
    assert not np.any(zeros)
    # Powers of two change no code.
    np.testing.assert_array_equal(small, np.float32(plain) * 2.0**-120)
    np.testing.assert_array_equal(large, np.float32(plain) * 2.0**120)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("node", "grid"),
    [
        (helper.make_node("Relu", ["x"], ["a"]), RELU),
        (helper.make_node("QuickGelu", ["x"], ["a"], domain=MICROSOFT, alpha=1.0), SILU),
        # Deeper below zero than SiLU: its codes would not reach.
        (helper.make_node("QuickGelu", ["x"], ["a"], domain=MICROSOFT, alpha=0.5), SIGNED),
        (helper.make_node("Tanh", ["x"], ["a"]), SIGNED),
    ],
    ids=["relu", "silu", "flatter", "tanh"],
)
@pytest.mark.parametrize("size", [0.01, 1.0, 30.0])
def test_no_value_of_an_activation_function_is_off_by_more_than_half_a_step(
    tmp_path: Path, node: onnx.NodeProto, grid: RowGrid, size: float
) -> None:
    nodes = [
        node,
        helper.make_node("Reshape", ["a", "flat"], ["b"]),
        helper.make_node("MatMul", ["b", "identity"], ["y"]),
    ]
    constants = {"flat": np.array([-1, DIM]), "identity": np.eye(DIM, dtype=np.float32)}
    shapes: dict[str, list[int | str]] = {"x": [1, "rows", DIM]}
    path = save_graph(tmp_path / "net.onnx", nodes, shapes, ["b", "y"], constants)
    x = np.linspace(-6, size, 5 * DIM, dtype=np.float32).reshape(1, 5, DIM)
    exact, found = run(quantize(path), x=x)
    _, scale = quantized_rows(exact, grid)
    # Identity columns are stored to float rounding.
    assert (np.abs(found - exact) <= 0.5001 * scale).all()


def test_activations_are_quantized_once_for_all_who_use_them(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Tanh", ["x"], ["a"]),
        helper.make_node("MatMul", ["x", "first"], ["b"], name="first"),
        helper.make_node("MatMul", ["a", "second"], ["c"], name="second"),
        helper.make_node("MatMul", ["a", "third"], ["d"], name="third"),
        # The first weight again, after the others.
        helper.make_node("MatMul", ["a", "first"], ["e"], name="fourth"),
    ]
    weights = {name: matrix(DIM, 24) for name in ("first", "second", "third")}
    shapes: dict[str, list[int | str]] = {"x": ["rows", DIM]}
    path = save_graph(tmp_path / "net.onnx", nodes, shapes, ["b", "c", "d", "e"], weights)
    small = quantize(path)
    kinds = [node.op_type for node in onnx.load(small).graph.node]
    assert kinds.count("QuantizeLinear") == 2
    assert kinds.count("MatMulIntegerToFloat") == 4
    x = matrix(3, DIM, 9)
    for found, wanted in zip(run(small, x=x), run(path, x=x), strict=True):
        # Relative errors: about 0.7 % from the rows' 8 bits, as much from the columns'.
        assert np.linalg.norm(found - wanted) < 0.02 * np.linalg.norm(wanted)


def test_a_branch_may_use_rows_from_outside(tmp_path: Path) -> None:
    def branch(name: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)
        node = helper.make_node("MatMul", ["x", name], [f"{name}_y"], name=name)
        return helper.make_graph([node], name, [], [out])

    both: dict[str, Any] = {"then_branch": branch("yes"), "else_branch": branch("no")}
    graph = helper.make_graph(
        [helper.make_node("If", ["which"], ["y"], **both)],
        "graph",
        [
            helper.make_tensor_value_info("which", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, DIM]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(matrix(DIM, 8, seed), name)
            for seed, name in enumerate(("yes", "no"))
        ],
    )
    path = tmp_path / "net.onnx"
    opset = [helper.make_opsetid("", 21)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    x = matrix(2, DIM, 9)
    small = quantize(path)
    for which in (True, False):
        (wanted,) = run(path, x=x, which=np.array(which))
        (found,) = run(small, x=x, which=np.array(which))
        assert np.linalg.norm(found - wanted) < 0.02 * np.linalg.norm(wanted)


def test_old_operators_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = save_graph(
        tmp_path / "net.onnx", nodes, {"x": [1, DIM]}, ["y"], {"w": matrix(DIM, 8)}, opset=17
    )
    with pytest.raises(InputError, match=r"opset 17, accepted by scheme 'int8-dynamic': 21 and up"):
        quantize(path)


def test_signed_codes_are_those_less_128() -> None:
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(signed(codes), np.arange(-128, 128))
    np.testing.assert_array_equal(unsigned(signed(codes)), codes)
