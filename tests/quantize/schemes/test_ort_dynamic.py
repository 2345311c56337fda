from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.build.onnx_file import quantize_file
from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.graph.files import load_model
from quantkit.quantize.graphs import quantize_model
from quantkit.quantize.inventory import float_constants
from quantkit.quantize.settings import OrtDynamicSettings
from quantkit.quantize.storage.stored import stored_tensors
from quantkit.runtime.audio import read_audio
from quantkit.runtime.trace import run as run_candidate
from quantkit.runtime.transcriber import Transcriber
from tests.quantize.graphs import matrix, run, save_graph, two_layers

pytestmark = pytest.mark.slow

GRAPHS = ("encoder", "joint", "predictor")


@pytest.fixture(scope="module")
def quantized(fused: Callable[[int], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dynamic")
    quantize_model(fused(560), None, OrtDynamicSettings(), out, Silent())
    return out


def test_every_weight_of_the_demo_is_stored_in_8_bits_under_its_name(
    fused: Callable[[int], Path], quantized: Path
) -> None:
    reports = json.loads((quantized / "quantize.json").read_text())["graphs"]
    for graph in GRAPHS:
        floats = float_constants(load_model(fused(560) / f"{graph}.onnx"))
        tensors = reports[graph]["tensors"]
        few = {tensor["name"]: tensor for tensor in tensors if tensor["bits"] == 8}
        assert few.keys() <= floats.keys()
        wide = {name for name, tensor in floats.items() if len(tensor.shape) > 1}
        # Positions' biases are only added; a convolution with its cache stays as it is, and so does
        # the one that reads the barrier.
        left = {tensor["name"] for tensor in tensors if tensor["bits"] == 32}
        weights = {name for name in wide & left if "weight" in name}
        kept = {name for name in weights if not name.endswith("depthwise_weight")}
        assert kept == ({"stem.first.weight"} if graph == "encoder" else set())
        for name, tensor in few.items():
            assert tensor["block_size"] is None
            assert tensor["bytes"] == floats[name].size + 5, "a float32 scale, a uint8 zero point"
            # A scale for the whole tensor: 255 steps over its range, which is up to about 40 times
            # its root mean square; rounding errs by a step over the root of 12.
            assert 0.001 < tensor["relative_error"] < 40 / 255 / 12**0.5
        stored = sum(tensor["bytes"] for tensor in tensors)
        assert reports[graph]["bits_per_weight"] == 8 * stored / reports[graph]["parameters"] < 8.2
    kinds = {node.op_type for node in onnx.load(quantized / "encoder.onnx").graph.node}
    assert {"MatMulInteger", "ConvInteger", "DynamicQuantizeLinear"} <= kinds


def test_the_first_chunk_hears_the_audio(
    fused: Callable[[int], Path], quantized: Path, parity_manifest: Path
) -> None:
    audio = read_audio(min(parity_manifest.parent.glob("*.flac")))
    exact, few = (
        run_candidate(Transcriber.load(model, 1), audio).chunks for model in (fused(560), quantized)
    )
    # Of outputs near 1; without a first chunk the error is of the size of the outputs.
    assert all(
        np.abs(a - b).mean() < 0.1 * np.abs(a).mean() for a, b in zip(exact, few, strict=True)
    )


def test_the_model_directory_is_left_alone_and_the_bytes_are_the_same_again(
    fused: Callable[[int], Path], quantized: Path, tmp_path: Path
) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in fused(560).iterdir()}
    quantize_model(fused(560), None, OrtDynamicSettings(), tmp_path, Silent())
    assert {path.name: path.stat().st_mtime_ns for path in fused(560).iterdir()} == before
    assert {path.name for path in tmp_path.iterdir()} == before.keys() | {"quantize.json"}
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (quantized / path.name).read_bytes()


def test_what_is_read_back_is_what_the_runtime_multiplies_with(tmp_path: Path) -> None:
    path = save_graph(
        tmp_path / "net.onnx",
        [
            helper.make_node("MatMul", ["x", "first"], ["a"]),
            helper.make_node("Gemm", ["x", "second", "bias"], ["b"], transB=1),
            helper.make_node("Gather", ["table", "rows"], ["c"]),
        ],
        {"x": [24, 24]},
        ["a", "b", "c"],
        {
            "first": matrix(24, 7, 1),
            "second": matrix(9, 24, 2),
            "bias": np.zeros(9, np.float32),
            "table": matrix(5, 20, 3),
            "rows": np.arange(5),
        },
        external=True,
    )
    quantize_file(path, OrtDynamicSettings(), tmp_path / "small.onnx", Silent())
    stored = stored_tensors(load_model(tmp_path / "small.onnx"))
    read = {tensor.name: tensor.dequantize() for tensor in stored}
    assert read.keys() == {"first", "second", "table"}
    found = run(tmp_path / "small.onnx", x=np.eye(24, dtype=np.float32))
    for name, product in zip(("first", "second"), found, strict=False):
        np.testing.assert_allclose(product, read[name], rtol=1e-5)
    np.testing.assert_array_equal(found[2], read["table"].T)
    assert {tensor.name: tensor.transposed for tensor in stored} == {
        "first": False,
        "second": True,
        "table": True,
    }


@pytest.mark.parametrize(("value", "stored"), [(-1e30, ["second"]), (0.0, ["first", "second"])])
def test_products_with_a_barrier_stay_whatever_their_name(
    tmp_path: Path, value: float, stored: list[str]
) -> None:
    path = save_graph(
        tmp_path / "net.onnx",
        [
            helper.make_node("Greater", ["x", "zero"], ["there"]),
            helper.make_node("Where", ["there", "x", "barrier"], ["masked"]),
            helper.make_node("Transpose", ["masked"], ["turned"], perm=[1, 0]),
            helper.make_node("MatMul", ["turned", "first"], ["a"], name="a"),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("MatMul", ["b", "second"], ["y"], name="y"),
        ],
        {"x": [24, 24]},
        ["y"],
        {
            "zero": np.array(0, np.float32),
            "barrier": np.array(value, np.float32),
            "first": matrix(24, 16, 1),
            "second": matrix(16, 8, 2),
        },
    )
    quantize_file(path, OrtDynamicSettings(), tmp_path / "small.onnx", Silent())
    names = [tensor.name for tensor in stored_tensors(load_model(tmp_path / "small.onnx"))]
    assert names == stored


def test_an_lstm_is_accounted_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.standard_normal((1, 32, 12)).astype(np.float32),
        "r": rng.standard_normal((1, 32, 8)).astype(np.float32),
    }
    graph = helper.make_graph(
        [helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=8)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 1, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    path = tmp_path / "lstm.onnx"
    opset = [helper.make_opsetid("", 21)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    report = quantize_file(path, OrtDynamicSettings(), tmp_path / "small.onnx", Silent())
    assert [(t["name"], t["shape"], t["bits"]) for t in report["tensors"]] == [
        ("w", [1, 12, 32], 8),
        ("r", [1, 8, 32], 8),
    ]
    assert all(0 < tensor["relative_error"] < 0.02 for tensor in report["tensors"])


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    plain = save_graph(
        tmp_path / "plain.onnx", [helper.make_node("Relu", ["x"], ["y"])], {"x": [4]}, ["y"], {}
    )
    with pytest.raises(InputError, match="nothing to quantize"):
        quantize_file(plain, OrtDynamicSettings(), tmp_path / "small.onnx", Silent())
    weight = matrix(32, 8)
    weight[3, 4] = np.nan
    nodes = [helper.make_node("MatMul", ["x", "layer.weight"], ["y"])]
    bad = save_graph(tmp_path / "bad.onnx", nodes, {"x": [1, 32]}, ["y"], {"layer.weight": weight})
    with pytest.raises(InputError, match=r"'layer\.weight' \[32, 8\] has 1 NaN"):
        quantize_file(bad, OrtDynamicSettings(), tmp_path / "small.onnx", Silent())
    assert {path.name for path in tmp_path.iterdir()} == {"plain.onnx", "bad.onnx"}


def test_external_weights_and_a_name_with_dots(tmp_path: Path) -> None:
    path = two_layers(tmp_path / "my net.v1.onnx", external=True)
    quantize_file(path, OrtDynamicSettings(), tmp_path / "out" / "small.onnx", Silent())
    assert run(tmp_path / "out" / "small.onnx", x=matrix(2, 40))[0].shape == (2, 9)
