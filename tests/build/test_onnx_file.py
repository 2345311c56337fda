from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from quantkit.build.onnx_file import quantize_file
from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.graph import apart
from quantkit.quantize.inventory import GraphReport
from quantkit.quantize.schemes.kquant import k_quant
from quantkit.quantize.settings import (
    AccuracyLevel,
    Bits,
    BlockScheme,
    GptqSettings,
    KQuantSettings,
    RtnSettings,
    Rule,
)
from quantkit.quantize.storage.packing import PackedMatrix, unpack
from tests.build import encoders
from tests.quantize.graphs import matrix, run, save_graph, two_layers

pytestmark = pytest.mark.slow

EXACT = KQuantSettings(accuracy_level=0)


def quantize(model: Path, out: Path, settings: BlockScheme = EXACT) -> GraphReport:
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


def test_a_model_with_its_weights_elsewhere_is_not_overwritten(tmp_path: Path) -> None:
    model = two_layers(tmp_path / "net.onnx", external=True)
    moved = model.rename(tmp_path / "renamed.onnx")
    with pytest.raises(InputError, match=r"net\.onnx\.data, which holds weights of .*renamed"):
        quantize(moved, tmp_path / "net.onnx")
    with pytest.raises(InputError, match="the model itself"):
        quantize(moved.rename(tmp_path / "x.data"), tmp_path / "x")


def test_activation_importance_comes_from_runs_of_the_model(tmp_path: Path) -> None:
    path = two_layers(tmp_path / "net.onnx", external=True)
    runs = [matrix(rows, 40, rows) * np.linspace(0.1, 3, 40, dtype=np.float32) for rows in (5, 9)]
    files = [tmp_path / f"{index}.npz" for index in range(2)]
    for file, x in zip(files, runs, strict=True):
        np.savez(file, allow_pickle=False, x=x)
    settings = KQuantSettings(importance="activation")
    quantize_file(path, settings, tmp_path / "small.onnx", Silent(), files)
    stored = {t.name: t for t in onnx.load(tmp_path / "small.onnx").graph.initializer}
    codes, scales, zeros = (
        onnx.numpy_helper.to_array(stored[f"first.weight_{part}"])
        for part in ("q4", "scales", "zero_points")
    )
    found = unpack(PackedMatrix(codes, scales, zeros, bits=4, block_size=32, rows=40, columns=24))
    squares = (np.concatenate(runs).astype(float) ** 2).mean(axis=0)
    best, blind = (
        k_quant(matrix(40, 24, 1), 4, 32, importance, squares).block_errors(
            matrix(40, 24, 1), squares
        )
        for importance in ("activation", "none")
    )
    error = found.block_errors(matrix(40, 24, 1), squares).sum()
    # Float32 sums inside the graph may turn a tie.
    assert error == pytest.approx(best.sum(), rel=1e-4)
    assert error < 0.95 * blind.sum()
    assert {p.name for p in tmp_path.iterdir()} == {
        "net.onnx", "net.onnx.data", "0.npz", "1.npz", "small.onnx", "small.onnx.data"
    }  # fmt: skip


def test_calibration_is_given_where_it_is_needed(tmp_path: Path) -> None:
    path = two_layers(tmp_path / "net.onnx")
    needing = KQuantSettings(importance="activation")
    with pytest.raises(InputError, match=r"calibration: scheme 'kquant' needs .* \.npz files"):
        quantize(path, tmp_path / "small.onnx", needing)
    np.savez(tmp_path / "run.npz", allow_pickle=False, x=matrix(2, 40))
    with pytest.raises(InputError, match="calibration: scheme 'rtn' makes no use"):
        quantize_file(
            path, RtnSettings(), tmp_path / "small.onnx", Silent(), [tmp_path / "run.npz"]
        )
    np.savez(tmp_path / "wrong.npz", allow_pickle=False, mel=matrix(2, 40))
    files = [tmp_path / "run.npz", tmp_path / "wrong.npz"]
    with pytest.raises(InputError, match=r"wrong\.npz.* input 'x' is missing; input 'mel' is unkn"):
        quantize_file(path, needing, tmp_path / "small.onnx", Silent(), files)
    assert not (tmp_path / "small.onnx").exists()


def test_a_model_that_never_ends_is_not_calibrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs in a process of its own first, as this one could not be stopped."""
    monkeypatch.setattr(apart, "SECONDS", 5.0)
    value = helper.make_tensor_value_info
    ports = [value("again", TensorProto.BOOL, []), value("state", TensorProto.FLOAT, None)]
    body = helper.make_graph(
        [helper.make_node("Identity", [port.name], [f"{port.name}_out"]) for port in ports],
        "body",
        [value("step", TensorProto.INT64, []), *ports],
        [value("again_out", TensorProto.BOOL, []), value("state_out", TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Loop", ["steps", "", "product"], ["y"], body=body),
    ]
    constants = {"w": matrix(64, 32), "steps": np.array(2**62)}
    model = save_graph(tmp_path / "m.onnx", nodes, {"x": [4, 64]}, ["y"], constants)
    calibration = tmp_path / "run.npz"
    np.savez(calibration, allow_pickle=False, x=np.ones((4, 64), np.float32))
    settings = KQuantSettings(bits=4, importance="activation")
    with pytest.raises(InputError, match=r"m\.onnx: calibration run 1 fails: it takes longer than"):
        quantize_file(model, settings, tmp_path / "o.onnx", Silent(), [calibration])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "run.npz"]


@pytest.fixture(scope="module", params=[encoders.export_traced, encoders.export_program])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = request.param(tmp_path_factory.mktemp("encoder") / "encoder.onnx")
    return path


# Errors of eight matrices in a row add up like noise: to less than three times the worst of them.
@pytest.mark.parametrize(("bits", "level"), [(2, 4), (4, 0), (8, 0)])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_whole_encoder_stays_as_close_as_its_weights(
    encoder: Path, tmp_path: Path, bits: Bits, level: AccuracyLevel, batch: int
) -> None:
    settings = KQuantSettings(bits=bits, accuracy_level=level)
    report = quantize(encoder, tmp_path / "small.onnx", settings)
    errors = [t["relative_error"] for t in report["tensors"] if t["block_size"] is not None]
    operators = [node.op_type for node in onnx.load(tmp_path / "small.onnx").graph.node]
    assert len(errors) == operators.count("MatMulNBits") == 8
    assert operators.count("Conv") == 1, "only the one of kernel 3"
    mel = np.random.default_rng(3).standard_normal((batch, encoders.MELS, 41)).astype(np.float32)
    before, after = (run(path, mel=mel) for path in (encoder, tmp_path / "small.onnx"))
    for wanted, found in zip(before, after, strict=True):
        assert np.linalg.norm(found - wanted) <= 3 * max(errors) * np.linalg.norm(wanted)


def test_every_matrix_of_an_encoder_can_be_calibrated(encoder: Path, tmp_path: Path) -> None:
    mel = np.random.default_rng(3).standard_normal((4, encoders.MELS, 50)).astype(np.float32)
    np.savez(tmp_path / "run.npz", allow_pickle=False, mel=mel)
    settings = KQuantSettings(importance="activation", accuracy_level=0)
    files = [tmp_path / "run.npz"]
    report = quantize_file(encoder, settings, tmp_path / "small.onnx", Silent(), files)
    assert sum(t["block_size"] is not None for t in report["tensors"]) == 8
    before, after = (run(path, mel=mel)[0] for path in (encoder, tmp_path / "small.onnx"))
    assert np.linalg.norm(after - before) < 0.15 * np.linalg.norm(before)


def test_a_model_quantized_before_is_left_as_it_is(tmp_path: Path) -> None:
    first = RtnSettings(exclude=("net/second*",), accuracy_level=0)
    quantize(two_layers(tmp_path / "net.onnx"), tmp_path / "half.onnx", first)
    report = quantize(tmp_path / "half.onnx", tmp_path / "small.onnx", RtnSettings(bits=8))
    assert [(t["name"], t["bits"]) for t in report["tensors"]] == [
        ("second.weight", 8),
        ("second.bias", 32),
    ]
    assert report["parameters"] == 9 * 24 + 9
    half, small = (
        {t.name: t for t in onnx.load(tmp_path / name).graph.initializer}
        for name in ("half.onnx", "small.onnx")
    )
    assert half["first.weight_q4"] == small["first.weight_q4"]
    with pytest.raises(InputError, match="nothing to quantize"):
        quantize(tmp_path / "small.onnx", tmp_path / "again.onnx")


def test_matrices_of_16_bit_floats_stay_and_are_named_where_there_is_nothing_else(
    tmp_path: Path,
) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=onnx.TensorProto.FLOAT16),
        helper.make_node("MatMul", ["half", "h"], ["product"]),
        helper.make_node("Cast", ["product"], ["wide"], to=onnx.TensorProto.FLOAT),
    ]
    constants: dict[str, NDArray[Any]] = {"h": matrix(32, 32).astype(np.float16)}
    path = save_graph(tmp_path / "half.onnx", nodes, {"x": ["n", 32]}, ["wide"], constants)
    with pytest.raises(
        InputError, match=r"nothing to quantize.* 1 matrices of 16-bit floats: conv"
    ):
        quantize(path, tmp_path / "small.onnx")

    nodes.append(helper.make_node("MatMul", ["wide", "w"], ["y"]))
    constants["w"] = matrix(32, 32)
    path = save_graph(tmp_path / "mixed.onnx", nodes, {"x": ["n", 32]}, ["y"], constants)
    report = quantize(path, tmp_path / "small.onnx", KQuantSettings(bits=8, accuracy_level=0))
    assert {t["name"]: t["bits"] for t in report["tensors"]} == {"w": 8, "h": 16}
    x = matrix(5, 32)
    before, after = (run(p, x=x)[0] for p in (path, tmp_path / "small.onnx"))
    assert np.linalg.norm(after - before) < 0.005 * np.linalg.norm(before)


@pytest.mark.parametrize("opset", [9, 13, 21])
def test_any_opset_and_rank_of_the_input(tmp_path: Path, opset: int) -> None:
    nodes = [
        helper.make_node("MatMul", ["vector", "w"], ["y"]),
        helper.make_node("MatMul", ["batch", "w"], ["z"]),
    ]
    shapes: dict[str, list[int | str]] = {"vector": [32], "batch": ["a", "b", "c", 32]}
    path = save_graph(
        tmp_path / "net.onnx", nodes, shapes, ["y", "z"], {"w": matrix(32, 24)}, opset=opset
    )
    quantize(path, tmp_path / "small.onnx")
    stored = k_quant(matrix(32, 24), 4, 32).dequantize()
    batch = matrix(12, 32).reshape(2, 3, 2, 32)
    y, z = run(tmp_path / "small.onnx", vector=batch[0, 0, 0], batch=batch)
    np.testing.assert_allclose(y, batch[0, 0, 0] @ stored, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(z, batch @ stored, rtol=1e-5, atol=1e-5)


def test_weights_of_a_loop_quantize(tmp_path: Path) -> None:
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "w"], ["next"]),
            helper.make_node("Identity", ["again"], ["on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("again", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", onnx.TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", onnx.TensorProto.FLOAT, None),
        ],
        [onnx.numpy_helper.from_array(matrix(32, 32) * np.float32(0.125), "w")],
    )
    nodes = [helper.make_node("Loop", ["steps", "", "x"], ["y"], body=body)]
    path = save_graph(tmp_path / "net.onnx", nodes, {"x": ["n", 32]}, ["y"], {"steps": np.array(3)})
    report = quantize(path, tmp_path / "small.onnx")
    assert [(t["name"], t["bits"]) for t in report["tensors"]] == [("w", 4)]
    stored = k_quant(matrix(32, 32) * np.float32(0.125), 4, 32).dequantize()
    x = matrix(4, 32)
    wanted = x @ stored @ stored @ stored
    np.testing.assert_allclose(run(tmp_path / "small.onnx", x=x)[0], wanted, rtol=1e-4, atol=1e-5)

    np.savez(tmp_path / "run.npz", allow_pickle=False, x=x)
    for settings in (KQuantSettings(importance="activation", accuracy_level=0), GptqSettings()):
        report = quantize_file(
            path, settings, tmp_path / "small.onnx", Silent(), [tmp_path / "run.npz"]
        )
        assert "Loop, If and Scan" in report["notes"][0]
        assert "'w'" in report["notes"][0]
        y = run(tmp_path / "small.onnx", x=x)[0]
        assert np.linalg.norm(y - wanted) <= 0.02 * np.linalg.norm(wanted)
