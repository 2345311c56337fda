from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.quantize.file import quantize_file
from quantkit.quantize.kquant import KQuantSettings, k_quant
from quantkit.quantize.options import AccuracyLevel, Rule, SchemeSettings
from quantkit.quantize.rtn import RtnSettings
from quantkit.quantize.tensors import GraphReport
from tests.quantize.graphs import matrix, run, save_graph, two_layers

EXACT = KQuantSettings(accuracy_level=0)


def quantize(model: Path, out: Path, settings: SchemeSettings = EXACT) -> GraphReport:
    return quantize_file(model, settings, out, Silent())


@pytest.mark.parametrize("external", [False, True])
def test_the_written_graph_computes_with_the_quantized_weights(
    tmp_path: Path, external: bool
) -> None:
    model = two_layers(tmp_path / "net.onnx", external=external)
    report = quantize(model, tmp_path / "small.onnx")

    first = k_quant(matrix(40, 24, 1), 4, 32).dequantize()
    second = k_quant(np.ascontiguousarray(matrix(9, 24, 2).T), 4, 32).dequantize()
    x = matrix(7, 40, 9)
    wanted = np.maximum(x @ first, 0) @ second + matrix(1, 9, 3)
    np.testing.assert_allclose(run(tmp_path / "small.onnx", x=x)[0], wanted, atol=2e-5)

    graph = onnx.load(tmp_path / "small.onnx").graph
    assert [n.op_type for n in graph.node] == ["MatMulNBits", "Relu", "MatMulNBits", "Add"]
    names = {tensor.name for tensor in graph.initializer}
    assert "first.weight" not in names
    assert {"first.weight_q4", "first.weight_scales", "first.weight_zero_points"} <= names
    assert [t["name"] for t in report["tensors"]] == [
        "first.weight",
        "second.weight",
        "second.bias",
    ]


def test_every_byte_is_accounted_for(tmp_path: Path) -> None:
    report = quantize(two_layers(tmp_path / "net.onnx"), tmp_path / "small.onnx")
    assert report["parameters"] == 40 * 24 + 9 * 24 + 9
    stored = onnx.load(tmp_path / "small.onnx").graph.initializer
    total = sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in stored)
    assert sum(tensor["bytes"] for tensor in report["tensors"]) == total
    assert report["bits_per_weight"] == pytest.approx(8 * total / report["parameters"])
    first, second, bias = report["tensors"]
    assert (first["shape"], first["bits"], first["block_size"]) == ([40, 24], 4, 32)
    assert second["shape"] == [24, 9]
    assert 0.01 < first["relative_error"] < 0.12
    assert (bias["bits"], bias["block_size"], bias["relative_error"]) == (32, None, 0.0)


@pytest.mark.parametrize("level", [0, 1, 4])
def test_attributes_are_those_of_the_settings(tmp_path: Path, level: AccuracyLevel) -> None:
    settings = RtnSettings(
        accuracy_level=level, rules=(Rule(match="net/first*", bits=8, block_size=16),)
    )
    quantize(two_layers(tmp_path / "net.onnx"), tmp_path / "small.onnx", settings)
    model = onnx.load(tmp_path / "small.onnx")
    found = [
        {a.name: a.i for a in node.attribute}
        for node in model.graph.node
        if node.op_type == "MatMulNBits"
    ]
    asked = {"accuracy_level": level} if level else {}
    assert found[0] == {"K": 40, "N": 24, "bits": 8, "block_size": 16, **asked}
    assert found[1] == {"K": 24, "N": 9, "bits": 4, "block_size": 32, **asked}
    assert ("com.microsoft", 1) in {(o.domain, o.version) for o in model.opset_import}


def test_same_bytes_every_time_and_movable(tmp_path: Path) -> None:
    model = two_layers(tmp_path / "net.onnx", external=True)
    big = matrix(64, 64)
    big_path = save_graph(
        tmp_path / "big.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"x": ["n", 64]},
        ["y"],
        {"w": big},
    )
    for path in (model, big_path):
        for name in ("a", "b"):
            (tmp_path / name).mkdir(exist_ok=True)
            quantize(path, tmp_path / name / "small.onnx")
        for file in (tmp_path / "a").iterdir():
            assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    assert {p.name for p in (tmp_path / "a").iterdir()} == {"small.onnx", "small.onnx.data"}
    shutil.move(tmp_path / "a", tmp_path / "moved")
    assert run(tmp_path / "moved" / "small.onnx", x=matrix(2, 64))[0].shape == (2, 64)


def test_excluded_matrices_stay_float(tmp_path: Path) -> None:
    settings = KQuantSettings(exclude=("net/second*",), accuracy_level=0)
    report = quantize(two_layers(tmp_path / "net.onnx"), tmp_path / "small.onnx", settings)
    assert {t["name"]: t["bits"] for t in report["tensors"]} == {
        "first.weight": 4,
        "second.weight": 32,
        "second.bias": 32,
    }


def test_a_shared_matrix_is_stored_once_and_a_constant_node_is_found(tmp_path: Path) -> None:
    weight = matrix(32, 32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="one"),
        helper.make_node("MatMul", ["a", "w"], ["b"], name="two"),
        helper.make_node("Constant", [], ["c"], value=onnx.numpy_helper.from_array(matrix(32, 8))),
        helper.make_node("MatMul", ["b", "c"], ["y"], name="three"),
    ]
    path = save_graph(tmp_path / "shared.onnx", nodes, {"x": ["n", 32]}, ["y"], {"w": weight})
    report = quantize(path, tmp_path / "small.onnx")
    assert [t["name"] for t in report["tensors"]] == ["w", "c"]
    graph = onnx.load(tmp_path / "small.onnx").graph
    assert [node.op_type for node in graph.node] == ["MatMulNBits"] * 3
    assert [t.name for t in graph.initializer].count("w_q4") == 1
    x = matrix(3, 32, 7)
    stored = k_quant(weight, 4, 32).dequantize()
    last = k_quant(matrix(32, 8), 4, 32).dequantize()
    np.testing.assert_allclose(
        run(tmp_path / "small.onnx", x=x)[0], x @ stored @ stored @ last, rtol=1e-4, atol=1e-3
    )


def test_what_matmulnbits_cannot_be_stays(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["left", "x"], ["a"]),
        helper.make_node("MatMul", ["a", "stack"], ["b"]),
        helper.make_node("Gemm", ["x", "w"], ["c"], alpha=2.0),
        helper.make_node("Gather", ["tied", "index"], ["d"]),
        helper.make_node("MatMul", ["x", "tied"], ["e"]),
    ]
    constants = {
        "left": matrix(4, 4),
        "stack": matrix(4, 4)[None],
        "w": matrix(4, 4),
        "tied": matrix(4, 4),
        "index": np.array([0, 1]),
    }
    path = save_graph(tmp_path / "odd.onnx", nodes, {"x": [4, 4]}, list("bcde"), constants)
    quantize(path, tmp_path / "small.onnx")
    graph = onnx.load(tmp_path / "small.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert kinds == ["MatMul", "MatMul", "Gemm", "Gather", "MatMulNBits"]
    assert set(constants) <= {tensor.name for tensor in graph.initializer}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_refused_by_name(tmp_path: Path, value: float) -> None:
    weight = matrix(32, 8)
    weight[3, 4] = value
    nodes = [helper.make_node("MatMul", ["x", "layer.weight"], ["y"])]
    path = save_graph(
        tmp_path / "bad.onnx", nodes, {"x": ["n", 32]}, ["y"], {"layer.weight": weight}
    )
    with pytest.raises(InputError, match=r"'layer\.weight'.*1 NaN or infinite"):
        quantize(path, tmp_path / "small.onnx")
    assert not (tmp_path / "small.onnx").exists()


def test_files_that_cannot_be_quantized_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        quantize(tmp_path / "absent.onnx", tmp_path / "small.onnx")
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(InputError, match="not an ONNX model"):
        quantize(tmp_path / "text.onnx", tmp_path / "small.onnx")
    path = two_layers(tmp_path / "net.onnx", external=True)
    with pytest.raises(InputError, match="the model itself"):
        quantize(path, path)
    (tmp_path / "net.onnx.data").unlink()
    with pytest.raises(InputError, match="keep the data file beside"):
        quantize(path, tmp_path / "small.onnx")
    plain = save_graph(
        tmp_path / "plain.onnx", [helper.make_node("Relu", ["x"], ["y"])], {"x": [4]}, ["y"], {}
    )
    with pytest.raises(InputError, match="nothing to quantize"):
        quantize(plain, tmp_path / "small.onnx")


def test_activation_importance_comes_from_a_file(tmp_path: Path) -> None:
    path = two_layers(tmp_path / "net.onnx")
    settings = KQuantSettings(importance="activation")
    with pytest.raises(InputError, match="npz"):
        quantize(path, tmp_path / "small.onnx", settings)
    given = {"net/first.weight": np.linspace(1, 9, 40), "net/second.weight": np.ones(24)}
    np.savez(tmp_path / "importance.npz", allow_pickle=False, **given)
    quantize_file(path, settings, tmp_path / "small.onnx", Silent(), tmp_path / "importance.npz")
    scales = {t.name: t for t in onnx.load(tmp_path / "small.onnx").graph.initializer}
    wanted = k_quant(matrix(40, 24, 1), 4, 32, "activation", np.linspace(1, 9, 40)).scales
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(scales["first.weight_scales"]), wanted)
