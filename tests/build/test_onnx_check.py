from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from quantkit.build.onnx_check import check_file, run_float
from quantkit.build.onnx_file import quantize_file
from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.graph.files import load_model
from quantkit.graph.random_inputs import save_random_inputs
from quantkit.quantize.inventory import GraphReport
from quantkit.quantize.settings import RtnSettings
from tests.quantize.graphs import save_graph, two_layers

pytestmark = pytest.mark.slow


def quantized(folder: Path) -> tuple[Path, Path, GraphReport]:
    model = two_layers(folder / "net.onnx")
    small = folder / "small.onnx"
    settings = RtnSettings(bits=8, accuracy_level=1)
    return model, small, quantize_file(model, settings, small, Silent())


def damage(path: Path, name: str, factor: float) -> None:
    """Multiply what a quantized file stores under a name."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == name:
            array = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array((array * factor).astype(array.dtype), name))
    onnx.save(model, path)


def check(model: Path, small: Path, report: GraphReport, folder: Path) -> list[str]:
    before = run_float(model, load_model(model), [], folder)
    return check_file(small, model, before, report, folder)


@pytest.mark.parametrize("name", ["first.weight", "second.weight"])
def test_the_tensor_that_is_wrong_is_named(tmp_path: Path, name: str) -> None:
    model, small, report = quantized(tmp_path)
    assert check(model, small, report, tmp_path) == []
    stored = "second.weight_transposed" if name == "second.weight" else name
    damage(small, f"{stored}_scales", 0.75)
    (note,) = check(model, small, report, tmp_path)
    assert f"begins at tensor '{name}'" in note
    assert "'y' is 2" in note


def test_nan_and_what_does_not_load_are_errors(tmp_path: Path) -> None:
    model, small, report = quantized(tmp_path)
    damage(small, "first.weight_scales", np.nan)
    with pytest.raises(InputError, match="NaN or infinite numbers in 'y'"):
        check(model, small, report, tmp_path)
    proto = onnx.load(model)
    proto.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(proto, small)
    with pytest.raises(InputError, match="cannot load what quantization makes of it"):
        check(model, small, report, tmp_path)


def test_what_random_inputs_cannot_try_is_said(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["rows"]),
        helper.make_node("MatMul", ["rows", "w"], ["y"]),
    ]
    weight = np.random.default_rng(0).standard_normal((32, 8)).astype(np.float32)
    model = save_graph(
        tmp_path / "m.onnx",
        nodes,
        {"x": ["n"]},
        ["y"],
        {"w": weight, "shape": np.array([7, 32])},
    )
    report = quantize_file(model, RtnSettings(), tmp_path / "small.onnx", Silent())
    assert "loaded, but not compared with m.onnx" in report["notes"][0]
    np.savez(tmp_path / "run.npz", allow_pickle=False, x=np.ones(224, np.float32))
    assert (tmp_path / "small.onnx").exists()


def test_a_model_that_draws_random_numbers_is_not_said_to_be_off(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["noise"]),
        helper.make_node("MatMul", ["noise", "w"], ["y"]),
    ]
    weight = np.random.default_rng(0).standard_normal((32, 8)).astype(np.float32)
    model = save_graph(tmp_path / "m.onnx", nodes, {"x": ["n", 32]}, ["y"], {"w": weight})
    report = quantize_file(model, RtnSettings(), tmp_path / "small.onnx", Silent())
    (note,) = report["notes"]
    assert "is not compared with m.onnx, which draws random numbers" in note


def test_nothing_to_compare_is_said(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["products"]),
        helper.make_node("ArgMax", ["products"], ["y"], axis=1),
    ]
    weight = np.random.default_rng(0).standard_normal((32, 8)).astype(np.float32)
    model = save_graph(tmp_path / "m.onnx", nodes, {"x": ["n", 32]}, ["y"], {"w": weight})
    proto = onnx.load(model)
    proto.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    onnx.save(proto, model)
    report = quantize_file(model, RtnSettings(), tmp_path / "small.onnx", Silent())
    (note,) = report["notes"]
    assert "is not compared with m.onnx: no output has finite floats" in note


def test_nan_behind_an_output_that_is_off_is_an_error(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"])]
    nodes += [helper.make_node("MatMul", ["x", "v"], ["b"])]
    weight = np.random.default_rng(0).standard_normal((32, 8)).astype(np.float32)
    constants = {"w": weight, "v": weight[::-1].copy()}
    model = save_graph(tmp_path / "m.onnx", nodes, {"x": ["n", 32]}, ["a", "b"], constants)
    small = tmp_path / "small.onnx"
    report = quantize_file(model, RtnSettings(bits=8, accuracy_level=1), small, Silent())
    damage(small, "w_scales", 0.5)
    damage(small, "v_scales", np.nan)
    with pytest.raises(InputError, match="NaN or infinite numbers in 'b'"):
        check(model, small, report, tmp_path)


def test_inputs_that_are_made_up_are_few(tmp_path: Path) -> None:
    caches: dict[str, list[int | str]] = {f"cache{i}": ["n", 64, 1024] for i in range(40)}
    nodes = [helper.make_node("Identity", ["cache0"], ["y"])]
    path = save_graph(tmp_path / "m.onnx", nodes, caches, ["y"], {})
    files = save_random_inputs(load_model(path), tmp_path)
    sizes = [next(iter(np.load(file).values())).shape[0] for file in files]
    assert sizes[:2] == [4, 16]
    assert sum(sizes) * 40 * 64 * 1024 <= 1 << 26


def test_a_model_that_onnx_runtime_refuses_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="one") for _ in range(2)]
    weight = np.ones((32, 8), np.float32)
    model = save_graph(tmp_path / "m.onnx", nodes, {"x": ["n", 32]}, ["y"], {"w": weight})
    with pytest.raises(InputError, match=r"ONNX Runtime cannot load it|cannot be read"):
        quantize_file(model, RtnSettings(), tmp_path / "small.onnx", Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
