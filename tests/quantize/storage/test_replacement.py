"""Lookup tables, and what shares its weights, through the runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from quantkit.core.progress import Silent
from quantkit.graph.files import load_model, save_model
from quantkit.quantize.graphs import quantize_graphs
from quantkit.quantize.inventory import GraphReport
from quantkit.quantize.schemes.registry import quantize_matrix
from quantkit.quantize.settings import Bits, BlockScheme, BlockSize, Rule
from tests.quantize.every_scheme import SCHEMES
from tests.quantize.graphs import matrix, run, save_graph

# 2-D, and counted from the end of the table.
INDICES = np.array([[0, 3, 8], [5, -1, -9]])


def quantize(model: Path, out: Path, settings: BlockScheme) -> GraphReport:
    graph = load_model(model)
    report = quantize_graphs({"net": graph}, None, settings, Silent())["net"]
    save_model(graph, out)
    return report


def lookup(path: Path, table: NDArray[np.float32]) -> Path:
    nodes = [helper.make_node("Gather", ["table", "index"], ["y"])]
    shapes = {"index": ["n", "m"]}
    return save_graph(path, nodes, shapes, ["y"], {"table": table}, integers=["index"])


@pytest.mark.parametrize("scheme", ["rtn", "rtn-symmetric", "kquant-weight"])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(
    ("dim", "size", "fitted"),
    [(64, 32, 32), (64, 64, 64), (96, 64, 32), (48, 32, 16), (80, 128, 16), (512, 256, 256)],
)
def test_a_table_looks_up_its_stored_rows(
    tmp_path: Path, scheme: str, bits: Bits, dim: int, size: BlockSize, fitted: BlockSize
) -> None:
    table = matrix(9, dim)
    settings = SCHEMES[scheme].following(Rule(match="*", bits=bits, block_size=size))
    report = quantize(lookup(tmp_path / "net.onnx", table), tmp_path / "small.onnx", settings)
    (stored,) = report["tensors"]
    assert (stored["name"], stored["bits"], stored["block_size"]) == ("table", bits, fitted)

    (node,) = onnx.load(tmp_path / "small.onnx").graph.node
    assert node.op_type == "GatherBlockQuantized"
    assert len(node.input) == (3 if scheme == "rtn-symmetric" else 4)
    rows = np.ascontiguousarray(table.T)
    wanted = quantize_matrix(rows, settings.fitting(dim), None).dequantize().T[INDICES]
    np.testing.assert_array_equal(run(tmp_path / "small.onnx", index=INDICES)[0], wanted)


def test_a_table_without_whole_blocks_stays_float(tmp_path: Path) -> None:
    model = lookup(tmp_path / "net.onnx", matrix(9, 40))
    report = quantize(model, tmp_path / "small.onnx", SCHEMES["rtn"])
    assert [tensor["block_size"] for tensor in report["tensors"]] == [None]
    np.testing.assert_array_equal(
        run(model, index=INDICES)[0], run(tmp_path / "small.onnx", index=INDICES)[0]
    )


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_table_may_multiply_as_well(tmp_path: Path, bits: Bits, transposed: bool) -> None:
    weight = matrix(64, 64)
    product = (
        helper.make_node("Gemm", ["x", "tied"], ["z"], transB=1)
        if transposed
        else helper.make_node("MatMul", ["x", "tied"], ["z"])
    )
    nodes = [helper.make_node("Gather", ["tied", "index"], ["y"]), product]
    shapes: dict[str, list[int | str]] = {"index": ["n", "m"], "x": ["k", 64]}
    path = save_graph(
        tmp_path / "net.onnx", nodes, shapes, ["y", "z"], {"tied": weight}, integers=["index"]
    )
    settings = (
        SCHEMES["rtn"]
        .following(Rule(match="*", bits=bits))
        .model_copy(update={"accuracy_level": 0})
    )
    report = quantize(path, tmp_path / "small.onnx", settings)
    assert [tensor["name"] for tensor in report["tensors"]] == ["tied", "tied"]
    assert "tied" not in {t.name for t in onnx.load(tmp_path / "small.onnx").graph.initializer}

    x = np.eye(64, dtype=np.float32)
    found, multiplied = run(tmp_path / "small.onnx", index=INDICES, x=x)
    rows = quantize_matrix(np.ascontiguousarray(weight.T), settings, None).dequantize()
    np.testing.assert_array_equal(found, rows.T[INDICES])
    wanted = rows if transposed else quantize_matrix(weight, settings, None).dequantize()
    np.testing.assert_array_equal(multiplied, wanted)
