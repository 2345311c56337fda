from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from quantkit.build.onnx_file import quantize_file
from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.graph.files import load_model
from quantkit.quantize.graphs import quantize_model
from quantkit.quantize.schemes.rtn import round_to_nearest
from quantkit.quantize.settings import OliveSettings, parse_settings
from quantkit.quantize.storage.blocks import QuantizedMatrix
from quantkit.quantize.storage.matrices import find_matrices
from quantkit.quantize.storage.stored import dequantized
from tests.quantize.graphs import matrix, run, save_graph
from tests.quantize.weights import olive_kquant

pytestmark = pytest.mark.slow


def test_settings() -> None:
    assert parse_settings({"scheme": "olive"}) == OliveSettings(algorithm="kquant")
    symmetric = parse_settings({"scheme": "olive", "algorithm": "rtn", "symmetric": True})
    assert symmetric.libraries == ("olive-ai",)
    assert not symmetric.needs_activations
    for values, message in (
        ({"symmetric": True}, "symmetric: found true, accepted with algorithm kquant: false"),
        ({"bits": 2}, "4 or 8"),
        ({"exclude": ["joint/*"]}, "exclude: Extra inputs"),
    ):
        with pytest.raises(InputError, match=message):
            parse_settings({"scheme": "olive", **values})


def test_the_demo_holds_what_olives_own_function_gives(
    fused: Callable[[int], Path], tmp_path: Path
) -> None:
    quantize_model(fused(560), None, OliveSettings(), tmp_path, Silent())
    reports = json.loads((tmp_path / "quantize.json").read_text())["graphs"]
    for graph in ("encoder", "joint"):
        read = dict(dequantized(tmp_path / f"{graph}.onnx"))
        tensors = {tensor["name"]: tensor for tensor in reports[graph]["tensors"]}
        matrices = find_matrices(load_model(fused(560) / f"{graph}.onnx"))
        assert list(read) == [found.name for found in matrices]
        for found in matrices:
            weight, stored = found.read(), read[found.name]
            assert isinstance(stored, QuantizedMatrix)
            wanted = olive_kquant(weight, 4, 32)
            np.testing.assert_array_equal(stored.codes, wanted.codes)
            np.testing.assert_array_equal(stored.scales, wanted.scales)
            np.testing.assert_array_equal(stored.zero_points, wanted.zero_points)
            tensor = tensors[found.name]
            assert (tensor["bits"], tensor["block_size"]) == (4, 32)
            assert tensor["shape"] == list(weight.shape)
            assert tensor["relative_error"] == pytest.approx(wanted.relative_error(weight))
    # The cells' gates are Gemm nodes, the embedding is a Gather: Olive's k-quant takes neither.
    assert {tensor["bits"] for tensor in reports["predictor"]["tensors"]} == {32}


def test_round_to_nearest_twice_gives_the_same_working_file(tmp_path: Path) -> None:
    """With an embedding, a Gemm, a product that is an output, and data of a Constant node."""
    constant = numpy_helper.from_array(matrix(40, 40, 4), "constant")
    path = save_graph(
        tmp_path / "my net.v1.onnx",
        [
            helper.make_node("Gather", ["table", "rows"], ["x"], name="lookup"),
            helper.make_node("Constant", [], ["c"], value=constant),
            helper.make_node("MatMul", ["x", "c"], ["turned"], name="constant"),
            helper.make_node("MatMul", ["turned", "w"], ["y"], name="product"),
            helper.make_node("Gemm", ["turned", "gate"], ["z"], name="gate"),
        ],
        {},
        ["y", "z"],
        {
            "table": matrix(5, 40, 1),
            "rows": np.arange(5),
            "w": matrix(40, 9, 2),
            "gate": matrix(40, 3, 3),
        },
    )
    model = onnx.load(path)
    onnx.save(
        model,
        path,
        save_as_external_data=True,
        location="data",
        size_threshold=0,
        convert_attribute=True,
    )
    settings = OliveSettings(algorithm="rtn", block_size=16, symmetric=True, accuracy_level=0)
    for name in "ab":
        report = quantize_file(path, settings, tmp_path / name / "small.onnx", Silent())

    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    read = dict(dequantized(tmp_path / "a" / "small.onnx"))
    assert read.keys() == {"table", "c", "w"}
    stored = {}
    for name, value in read.items():
        assert isinstance(value, QuantizedMatrix)
        stored[name] = value.dequantize()
    np.testing.assert_array_equal(
        stored["w"], round_to_nearest(matrix(40, 9, 2), 4, 16, symmetric=True).dequantize()
    )
    y, z = run(tmp_path / "a" / "small.onnx")
    turned = stored["table"].T @ stored["c"]
    np.testing.assert_allclose(y, turned @ stored["w"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(z, turned @ matrix(40, 3, 3), rtol=1e-4, atol=1e-4)
    outputs = onnx.load(tmp_path / "a" / "small.onnx").graph.output
    assert [output.name for output in outputs] == ["y", "z"]
    assert {t["name"]: (t["bits"], t["shape"]) for t in report["tensors"]} == {
        "table": (4, [40, 5]),
        "c": (4, [40, 40]),
        "w": (4, [40, 9]),
        "gate": (32, [40, 3]),
    }
