"""Graphs of all kinds through `quantize_file`: each right, or refused with a reason."""

from __future__ import annotations

import json
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
from quantkit.quantize.inventory import GraphReport
from quantkit.quantize.settings import parse_settings
from tests.quantize.graphs import matrix, run, save_graph

RTN8: dict[str, Any] = {"scheme": "rtn", "bits": 8, "accuracy_level": 1}
SCHEMES: list[dict[str, Any]] = [
    RTN8,
    {"scheme": "kquant", "bits": 8, "block_size": 256},
    {"scheme": "int8-dynamic"},
    {"scheme": "ort-dynamic-int8"},
]


def quantize(model: Path, out: Path, settings: dict[str, Any] = RTN8) -> GraphReport:
    return quantize_file(model, parse_settings(settings), out, Silent())


def error(before: Path, after: Path, **feeds: NDArray[Any]) -> float:
    """The largest relative error of an output."""
    pairs = zip(run(before, **feeds), run(after, **feeds), strict=True)
    return max(float(np.linalg.norm(b - a) / np.linalg.norm(a)) for a, b in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("settings", SCHEMES, ids=lambda settings: str(settings["scheme"]))
@pytest.mark.parametrize("width", [48, 384])
def test_a_constant_that_is_table_and_matrix_in_both_ways(
    tmp_path: Path, settings: dict[str, Any], width: int
) -> None:
    table = matrix(width, width)
    nodes = [
        helper.make_node("Gather", ["E", "ids"], ["rows"], name="look"),
        helper.make_node("ReduceMean", ["rows"], ["mean"], keepdims=1),
        helper.make_node("Gemm", ["rows", "E"], ["scores"], name="head", transB=1),
        helper.make_node("MatMul", ["rows", "E"], ["mixed"], name="mix"),
        helper.make_node("Identity", ["E"], ["whole"]),
    ]
    path = save_graph(
        tmp_path / "tied.onnx",
        nodes,
        {"ids": ["n"]},
        ["mean", "scores", "mixed", "whole"],
        {"E": table},
        integers=["ids"],
    )
    report = quantize(path, tmp_path / "small.onnx", settings)
    assert "notes" not in report
    ids = np.array([3, 0, 7, 11, 40])
    assert error(path, tmp_path / "small.onnx", ids=ids) < 0.02


@pytest.mark.parametrize("settings", SCHEMES, ids=lambda settings: str(settings["scheme"]))
def test_nodes_without_names_and_names_that_rewrites_would_take(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["x_codes"]),
        helper.make_node("MatMul", ["x_codes", "v"], ["rows_one"]),
        helper.make_node("Mul", ["rows_one", "rows_zero_128"], ["x_quantized"], name="_scaled"),
        helper.make_node("Add", ["x_quantized", "w_q8"], ["x_scale"], name="MatMul_x_codes"),
        helper.make_node("Gemm", ["x_scale", "w", "w_scales"], ["w_quantized"], transB=1),
    ]
    constants = {
        "w": matrix(32, 32),
        "v": matrix(32, 32, 1),
        "rows_zero_128": matrix(1, 32, 2),
        "w_q8": matrix(1, 32, 3),
        "w_scales": matrix(1, 32, 4)[0],
    }
    path = save_graph(tmp_path / "m.onnx", nodes, {"x": ["n", 32]}, ["w_quantized"], constants)
    report = quantize(path, tmp_path / "small.onnx", settings)
    assert "notes" not in report
    assert error(path, tmp_path / "small.onnx", x=matrix(5, 32, 9)) < 0.05
    names = [value.name for value in onnx.load(tmp_path / "small.onnx").graph.output]
    assert names == ["w_quantized"]


@pytest.mark.parametrize("version", [3, 10])
def test_weights_that_are_also_inputs_become_constants(tmp_path: Path, version: int) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Add", ["m", "shift"], ["y"]),
    ]
    path = save_graph(
        tmp_path / "m.onnx",
        nodes,
        {"x": ["n", 32], "w": [32, 8], "shift": [8]},
        ["y"],
        {"w": matrix(32, 8), "shift": matrix(1, 8)[0]},
        opset=9,
    )
    model = onnx.load(path)
    model.ir_version = version
    onnx.save(model, path)
    report = quantize(path, tmp_path / "small.onnx")
    assert error(path, tmp_path / "small.onnx", x=matrix(5, 32, 9)) < 0.02
    inputs = [value.name for value in onnx.load(tmp_path / "small.onnx").graph.input]
    if version == 3:
        assert inputs == ["x"]
    else:
        assert inputs == ["x", "shift"], "another value can still be given"
        assert report["notes"] == ["weights that were also inputs are constants now: 'w'"]


@pytest.mark.slow
def test_a_table_of_masks_stays_float_and_nan_is_refused(tmp_path: Path) -> None:
    table = matrix(8, 16)
    table[2, 3] = -np.inf
    nodes = [
        helper.make_node("Gather", ["mask", "ids"], ["m"]),
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Add", ["p", "m"], ["y"]),
    ]
    shapes: dict[str, list[int | str]] = {"x": ["n", 16], "ids": ["n"]}
    for settings in (RTN8, {"scheme": "ort-dynamic-int8"}):
        constants = {"mask": table, "w": matrix(16, 16)}
        path = save_graph(tmp_path / "m.onnx", nodes, shapes, ["y"], constants, integers=["ids"])
        report = quantize(path, tmp_path / "small.onnx", settings)
        assert "'mask'" in report["notes"][0]
        ids = np.array([2, 1])
        before, after = (
            run(p, x=matrix(2, 16), ids=ids)[0] for p in (path, tmp_path / "small.onnx")
        )
        np.testing.assert_array_equal(np.isinf(before), np.isinf(after))
    constants["mask"][1, 1] = np.nan
    path = save_graph(tmp_path / "m.onnx", nodes, shapes, ["y"], constants, integers=["ids"])
    with pytest.raises(InputError, match="'mask'"):
        quantize(path, tmp_path / "nan.onnx")
    assert not (tmp_path / "nan.onnx").exists()


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("scheme", ["rtn", "kquant"])
def test_the_largest_weights_stay_finite(tmp_path: Path, scheme: str, bits: int) -> None:
    weight = matrix(64, 8)
    weight[::2] = 3e38
    weight[1::4] = -3e38
    weight[:, 4:] *= np.float32(1e-45)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("MatMul", ["x", "v"], ["z"]),
    ]
    constants = {"w": weight, "v": matrix(64, 8)}
    path = save_graph(tmp_path / "m.onnx", nodes, {"x": ["n", 64]}, ["y", "z"], constants)
    report = quantize(path, tmp_path / "small.onnx", {"scheme": scheme, "bits": bits})
    kept = {t["name"] for t in report["tensors"] if t["bits"] == 32}
    assert kept == {"w"}
    assert "'w' with weights up to 3.0e+38 stays float32" in report["notes"][0]
    x = np.zeros((1, 64), np.float32)
    x[0, 0] = 1e-3
    assert all(np.isfinite(y).all() for y in run(tmp_path / "small.onnx", x=x))


def test_weights_too_large_for_any_code_are_told_where_nothing_else_is_there(
    tmp_path: Path,
) -> None:
    weight = matrix(32, 8)
    weight[3, 4] = 3e38
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = save_graph(tmp_path / "m.onnx", nodes, {"x": ["n", 32]}, ["y"], {"w": weight})
    with pytest.raises(InputError, match="nothing is quantized: tensor 'w' with weights up to 3"):
        quantize(path, tmp_path / "small.onnx")


def test_an_infinite_hessian_is_refused_by_name(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = save_graph(tmp_path / "m.onnx", nodes, {"x": ["n", 32]}, ["y"], {"w": matrix(32, 8)})
    np.savez(tmp_path / "run.npz", allow_pickle=False, x=matrix(40, 32) * np.float32(1e20))
    with pytest.raises(InputError, match=r"'m/w': second moments .* too large"):
        quantize_file(
            path,
            parse_settings({"scheme": "gptq"}),
            tmp_path / "small.onnx",
            Silent(),
            [tmp_path / "run.npz"],
        )
    assert {file.name for file in tmp_path.iterdir()} == {"m.onnx", "run.npz"}


@pytest.mark.slow
def test_16_bit_floats_are_left_alone_by_onnx_runtimes_quantizer(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["half", "h"], ["product"]),
        helper.make_node("Cast", ["product"], ["wide"], to=TensorProto.FLOAT),
    ]
    constants: dict[str, NDArray[Any]] = {"h": matrix(32, 32).astype(np.float16)}
    path = save_graph(tmp_path / "half.onnx", nodes, {"x": ["n", 32]}, ["wide"], constants)
    with pytest.raises(InputError, match="1 matrices of 16-bit floats"):
        quantize(path, tmp_path / "small.onnx", {"scheme": "ort-dynamic-int8"})
    nodes.append(helper.make_node("MatMul", ["wide", "w"], ["y"]))
    constants["w"] = matrix(32, 32)
    path = save_graph(tmp_path / "mixed.onnx", nodes, {"x": ["n", 32]}, ["y"], constants)
    report = quantize(path, tmp_path / "small.onnx", {"scheme": "ort-dynamic-int8"})
    assert {t["name"]: t["bits"] for t in report["tensors"]} == {"w": 8, "h": 16}
    assert error(path, tmp_path / "small.onnx", x=matrix(5, 32)) < 0.03


def statistics(folder: Path, **diagonals: NDArray[np.float32]) -> Path:
    """What `quantkit calibrate --out` leaves, with the Hessians of independent inputs."""
    (folder / "hessians").mkdir(parents=True)
    named = {name.replace("__", "/"): value for name, value in diagonals.items()}
    np.savez(folder / "moments.npz", allow_pickle=False, **named)
    for number, value in enumerate(named.values()):
        np.save(folder / "hessians" / f"{number}.npy", np.diag(value))
    listed = {name: f"hessians/{number}.npy" for number, name in enumerate(named)}
    (folder / "hessians.json").write_text(json.dumps(listed))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["gptq", "kquant"])
def test_statistics_of_a_recipe_serve_its_graphs(tmp_path: Path, scheme: str) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = save_graph(
        tmp_path / "encoder.onnx", nodes, {"x": ["n", 32]}, ["y"], {"w": matrix(32, 8)}
    )
    heavy = np.ones(32, np.float32)
    heavy[::4] = 100
    folder = statistics(tmp_path / "stats", joint__v=np.ones(8, np.float32), encoder__w=heavy)
    importance = {"importance": "activation"} if scheme == "kquant" else {}
    settings = parse_settings({"scheme": scheme, "accuracy_level": 1, **importance})
    for given in (folder, folder / "moments.npz"):
        quantize_file(path, settings, tmp_path / "small.onnx", Silent(), [given])
    plain = quantize(path, tmp_path / "plain.onnx", {"scheme": "kquant", "accuracy_level": 1})
    assert "notes" not in plain
    x = matrix(500, 32) * np.sqrt(heavy)
    assert error(path, tmp_path / "small.onnx", x=x) < error(path, tmp_path / "plain.onnx", x=x)

    other = save_graph(
        tmp_path / "other.onnx",
        [helper.make_node("MatMul", ["x", "fc"], ["y"])],
        {"x": ["n", 32]},
        ["y"],
        {"fc": matrix(32, 8)},
    )
    with pytest.raises(InputError, match=r"no statistics of .*other\.onnx.* are 'fc'"):
        quantize_file(other, settings, tmp_path / "o.onnx", Silent(), [folder])
    with pytest.raises(InputError, match=r"found .*stats and 1 more"):
        quantize_file(path, settings, tmp_path / "o.onnx", Silent(), [folder, folder])
