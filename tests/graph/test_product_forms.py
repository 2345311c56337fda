"""Weights as exporters leave them become what quantizers see, and the numbers stay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from quantkit.graph.files import load_model, save_model
from quantkit.graph.product_forms import expose_products
from quantkit.quantize.storage.matrices import find_matrices
from tests.quantize.graphs import matrix, run, save_graph


def exposed(path: Path) -> tuple[Path, list[str]]:
    """The rewritten file, and the names of its quantizable matrices."""
    model = load_model(path)
    inputs, outputs = ([v.name for v in vs] for vs in (model.graph.inputs, model.graph.outputs))
    expose_products(model)
    assert [value.name for value in model.graph.inputs] == inputs
    assert [value.name for value in model.graph.outputs] == outputs
    out = path.with_name("exposed.onnx")
    save_model(model, out)
    return out, [matrix.name for matrix in find_matrices(load_model(out))]


def assert_same(before: Path, after: Path, **feeds: NDArray[Any]) -> None:
    for wanted, found in zip(run(before, **feeds), run(after, **feeds), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def operators(path: Path) -> list[str]:
    return [node.op_type for node in load_model(path).graph.all_nodes()]


def constant(name: str, array: NDArray[Any]) -> NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array))


@pytest.mark.parametrize("perm", [[1, 0], None])
def test_constant_identity_and_transpose_before_a_weight_vanish(
    tmp_path: Path, perm: Sequence[int] | None
) -> None:
    order: dict[str, Any] = {} if perm is None else {"perm": perm}
    nodes = [
        constant("raw", matrix(24, 40)),
        helper.make_node("Identity", ["raw"], ["same"]),
        helper.make_node("Transpose", ["same"], ["turned"], **order),
        helper.make_node("Identity", ["turned"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    path = save_graph(tmp_path / "net.onnx", nodes, {"x": ["n", 40]}, ["y"], {})
    after, names = exposed(path)
    assert names == ["raw"]
    assert operators(after) == ["MatMul"]
    assert_same(path, after, x=matrix(3, 40))


def test_an_embedding_that_the_output_layer_shares_gets_a_transposed_twin(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["tied", "index"], ["embedded"]),
        helper.make_node("Transpose", ["tied"], ["head"], perm=[1, 0]),
        helper.make_node("MatMul", ["embedded", "head"], ["y"]),
        helper.make_node("Transpose", ["tied"], ["again"], perm=[1, 0]),
        helper.make_node("MatMul", ["embedded", "again"], ["z"]),
    ]
    path = save_graph(
        tmp_path / "net.onnx",
        nodes,
        {"index": ["n"]},
        ["y", "z"],
        {"tied": matrix(50, 32)},
        integers=["index"],
    )
    after, names = exposed(path)
    assert names == ["tied", "tied.transposed"]
    assert operators(after) == ["Gather", "MatMul", "MatMul"]
    assert_same(path, after, index=np.array([3, 49, 0]))


@pytest.mark.parametrize("biased", [True, False])
def test_a_pointwise_convolution_becomes_a_product(tmp_path: Path, biased: bool) -> None:
    constants = {"w": matrix(24 * 32, 1).reshape(24, 32, 1)}
    if biased:
        constants["b"] = matrix(1, 24)[0]
    nodes = [
        helper.make_node("Transpose", ["x"], ["channels"], perm=[0, 2, 1]),
        helper.make_node("Conv", ["channels", *constants], ["convolved"], kernel_shape=[1]),
        helper.make_node("Transpose", ["convolved"], ["y"], perm=[0, 2, 1]),
    ]
    path = save_graph(tmp_path / "net.onnx", nodes, {"x": ["n", "t", 32]}, ["y"], constants)
    after, names = exposed(path)
    assert names == ["w"]
    assert "Transpose" not in operators(after)
    assert_same(path, after, x=matrix(10, 32)[None])


def test_a_bias_of_zeros_as_long_as_a_weight_does_not_keep_the_weight(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["w"], ["length"], start=0, end=1),
        helper.make_node("Expand", ["zero", "length"], ["b"]),
        helper.make_node("Conv", ["x", "w", "b"], ["y"]),
    ]
    constants = {"w": matrix(24 * 32, 1).reshape(24, 32, 1), "zero": np.zeros(1, np.float32)}
    path = save_graph(tmp_path / "net.onnx", nodes, {"x": ["n", 32, "t"]}, ["y"], constants)
    after, names = exposed(path)
    assert names == ["w"]
    assert load_model(after).graph.initializers.keys() == {"w", "zero", "length/shape"}
    assert_same(path, after, x=matrix(32, 9)[None])


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((32, 32, 3), {"pads": [1, 1]}),
        ((32, 1, 1), {"group": 32}),
        ((32, 32, 1), {"strides": [2]}),
        ((32, 32, 1), {"pads": [1, 0]}),
    ],
)
def test_other_convolutions_stay(
    tmp_path: Path, shape: tuple[int, ...], attributes: dict[str, Any]
) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], **attributes)]
    weight = matrix(shape[0], shape[1] * shape[2]).reshape(shape)
    path = save_graph(tmp_path / "net.onnx", nodes, {"x": ["n", 32, "t"]}, ["y"], {"w": weight})
    after, names = exposed(path)
    assert names == []
    assert operators(after) == ["Conv"]
    assert_same(path, after, x=matrix(32, 9)[None])


def branch(name: str, nodes: Sequence[NodeProto], constants: dict[str, Any]) -> GraphProto:
    output = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(array, key) for key, array in constants.items()]
    return helper.make_graph(nodes, name, [], [output], tensors)


@pytest.mark.parametrize("flag", [1.0, -1.0])
def test_weights_of_branches_are_found_and_told_apart(tmp_path: Path, flag: float) -> None:
    then_nodes = [
        helper.make_node("Transpose", ["w"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "turned"], ["then_y"]),
    ]
    else_nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Identity", ["product"], ["else_y"]),
    ]
    nodes = [
        helper.make_node("Greater", ["flag", "zero"], ["condition"]),
        helper.make_node(
            "If",
            ["condition"],
            ["y"],
            then_branch=branch("then", then_nodes, {"w": matrix(32, 32, 1)}),
            else_branch=branch("else", else_nodes, {"w": matrix(32, 32, 2)}),
        ),
    ]
    path = save_graph(
        tmp_path / "net.onnx",
        nodes,
        {"x": ["n", 32], "flag": []},
        ["y"],
        {"zero": np.array(0, np.float32)},
    )
    after, names = exposed(path)
    assert len(set(names)) == 2
    assert_same(path, after, x=matrix(3, 32), flag=np.array(flag, np.float32))


def test_a_branch_that_hands_a_value_through_stays(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["active"]),
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("Greater", ["largest", "zero"], ["condition"]),
        helper.make_node(
            "If",
            ["condition"],
            ["y"],
            then_branch=branch("then", [helper.make_node("Identity", ["active"], ["then_y"])], {}),
            else_branch=branch("else", [helper.make_node("Identity", ["zero"], ["else_y"])], {}),
        ),
    ]
    constants = {"zero": np.array(0, np.float32)}
    path = save_graph(tmp_path / "net.onnx", nodes, {"x": ["n", 4]}, ["y"], constants)
    after, _ = exposed(path)
    for x in (matrix(3, 4), -np.abs(matrix(3, 4))):
        assert_same(path, after, x=x)


def test_weights_that_are_no_float32_keep_their_type(tmp_path: Path) -> None:
    half = matrix(24, 32).astype(np.float16)
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Transpose", ["w"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["half", "turned"], ["product"]),
        helper.make_node("Cast", ["product"], ["y"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["counts"], ["order"], perm=[1, 0]),
        helper.make_node("Cast", ["order"], ["z"], to=TensorProto.FLOAT),
    ]
    constants: dict[str, NDArray[Any]] = {"w": half, "counts": np.arange(6).reshape(2, 3)}
    path = save_graph(tmp_path / "net.onnx", nodes, {"x": ["n", 32]}, ["y", "z"], constants)
    after, names = exposed(path)
    assert names == []
    kinds = {v.name: v.dtype for v in ir.load(after).graph.initializers.values()}
    assert kinds == {"w": ir.DataType.FLOAT16, "counts": ir.DataType.INT64}
    assert_same(path, after, x=matrix(3, 32))
