from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import helper

from quantkit.build.onnx_file import quantize_file
from quantkit.core.progress import Silent
from quantkit.graph.files import load_model
from quantkit.quantize.graphs import quantize_model
from quantkit.quantize.schemes.registry import quantize_matrix
from quantkit.quantize.schemes.rtn import round_to_nearest
from quantkit.quantize.settings import Int8DynamicSettings, Rule
from quantkit.quantize.storage.blocks import QuantizedMatrix
from quantkit.quantize.storage.matrices import find_matrices
from quantkit.quantize.storage.stored import dequantized, stored_tensors
from tests.quantize.graphs import matrix, run, save_graph, two_layers
from tests.quantize.weights import heavy


@pytest.mark.slow
def test_every_matrix_of_the_demo_is_stored_in_8_bits_under_its_name(
    fused: Callable[[int], Path], tmp_path: Path
) -> None:
    settings = Int8DynamicSettings(rules=(Rule(match="joint/*", block_size=32),))
    quantize_model(fused(560), None, settings, tmp_path, Silent())
    reports = json.loads((tmp_path / "quantize.json").read_text())["graphs"]
    for graph in ("encoder", "joint", "predictor"):
        matrices = {m.name: m for m in find_matrices(load_model(fused(560) / f"{graph}.onnx"))}
        tensors = {t["name"]: t for t in reports[graph]["tensors"] if t["bits"] == 8}
        assert tensors.keys() == matrices.keys()
        for name, tensor in tensors.items():
            rows, columns = matrices[name].shape
            assert tensor["shape"] == [rows, columns]
            assert 0.001 < tensor["relative_error"] < 0.015
            if graph == "joint" or matrices[name].use == "lookup":
                assert tensor["block_size"] == 32
            else:
                assert tensor["block_size"] == rows
                assert tensor["bytes"] == columns * (rows + 5)
        kinds = Counter(node.op_type for node in onnx.load(tmp_path / f"{graph}.onnx").graph.node)
        products = sum(len(m.nodes) for m in matrices.values() if m.use == "product")
        operator = "MatMulNBits" if graph == "joint" else "MatMulIntegerToFloat"
        assert kinds[operator] == products
        assert kinds["MatMulInteger"] == kinds["DynamicQuantizeLinear"] == 0


@pytest.mark.slow
def test_a_stream_is_encoded_to_the_same_bits_alone_and_among_others(
    fused: Callable[[int], Path], tmp_path: Path
) -> None:
    quantize_model(fused(560), None, Int8DynamicSettings(), tmp_path, Silent())
    rng = np.random.default_rng(0)
    session = ort.InferenceSession(tmp_path / "encoder.onnx")
    frames = {"length": [65, 65, 0, 40], "cache_length": [0, 7, 21, 700]}

    def feed(node: ort.NodeArg) -> NDArray[Any]:
        if node.name in frames:
            return np.array(frames[node.name])
        # Streams of very different loudness.
        size = rng.lognormal(0, 2, (4, *(1 for _ in node.shape[1:])))
        return (size * rng.standard_normal((4, *node.shape[1:]))).astype(np.float32)

    feeds = {node.name: feed(node) for node in session.get_inputs()}
    together = session.run(None, feeds)
    for stream in range(4):
        alone = session.run(None, {name: x[stream : stream + 1] for name, x in feeds.items()})
        for one, all_four in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one[0], all_four[stream])


def test_what_is_read_back_is_what_was_chosen(tmp_path: Path) -> None:
    path = two_layers(tmp_path / "net.onnx", external=True)
    settings = Int8DynamicSettings()
    quantize_file(path, settings, tmp_path / "small.onnx", Silent())
    read = dict(dequantized(tmp_path / "small.onnx"))
    for name, weight in (
        ("first.weight", matrix(40, 24, 1)),
        ("second.weight", np.ascontiguousarray(matrix(9, 24, 2).T)),
    ):
        found, wanted = read[name], quantize_matrix(weight, settings, None)
        assert isinstance(found, QuantizedMatrix)
        assert (found.bits, found.block_size, found.rows) == (8, len(weight), len(weight))
        for part in ("codes", "scales", "zero_points"):
            np.testing.assert_array_equal(getattr(found, part), getattr(wanted, part))
    stored = stored_tensors(load_model(tmp_path / "small.onnx"))
    assert [tensor.transposed for tensor in stored] == [False, True], "a Gemm holds [N, K]"
    # The bias of the Gemm is added to the finished product.
    x = matrix(5, 40)
    (exact,), (y,) = run(path, x=x), run(tmp_path / "small.onnx", x=x)
    assert np.linalg.norm(y - exact) < 0.02 * np.linalg.norm(exact)


def test_rules_tables_and_exclusions(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["table", "index"], ["x"]),
        helper.make_node("MatMul", ["x", "rows"], ["a"]),
        helper.make_node("MatMul", ["x", "blocks"], ["b"]),
        helper.make_node("MatMul", ["x", "floats"], ["c"]),
    ]
    constants = {name: matrix(64, 24, 1) for name in ("rows", "blocks", "floats")}
    path = save_graph(
        tmp_path / "net.onnx",
        nodes,
        {"index": ["n"]},
        ["a", "b", "c"],
        {"table": matrix(9, 64), **constants},
        integers=["index"],
    )
    settings = Int8DynamicSettings(
        exclude=("net/floats",), rules=(Rule(match="net/blocks", bits=4, block_size=16),)
    )
    report = quantize_file(path, settings, tmp_path / "small.onnx", Silent())
    kept = {t["name"]: (t["bits"], t["block_size"]) for t in report["tensors"] if t["shape"]}
    assert kept == {
        "table": (8, 32),
        "rows": (8, 64),
        "blocks": (4, 16),
        "floats": (32, None),
    }
    kinds = {node.op_type for node in onnx.load(tmp_path / "small.onnx").graph.node}
    assert {"GatherBlockQuantized", "MatMulNBits", "MatMulIntegerToFloat", "MatMul"} <= kinds


@pytest.mark.parametrize("kind", ["gauss", "laplace", "student"])
def test_no_column_is_stored_worse_than_on_its_range(kind: str) -> None:
    weight = heavy(kind, 600, 70)
    found = quantize_matrix(weight, Int8DynamicSettings(), None)
    plain = round_to_nearest(weight, 8, len(weight))
    better, worse = found.block_errors(weight), plain.block_errors(weight)
    assert (better <= worse).all()
    assert better.sum() < worse.sum()
