from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from quantkit.graph import apart
from quantkit.graph.apart import run_apart
from tests.quantize.graphs import matrix, save_graph, two_layers


def given(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "given.npz"
    np.savez(path, allow_pickle=False, **arrays)
    return path


def test_the_first_inputs_that_a_graph_takes_are_computed_with(tmp_path: Path) -> None:
    model = two_layers(tmp_path / "net.onnx", external=True)
    wrong, right = tmp_path / "wrong.npz", given(tmp_path, x=matrix(3, 40))
    np.savez(wrong, allow_pickle=False, x=matrix(3, 41))
    ran = run_apart(model, [wrong, right], tmp_path, weights=0, quick=True)
    assert (ran.loaded, ran.fed, ran.problem) == (True, 1, "")
    assert ran.outputs["y"].shape == (3, 9)
    ran = run_apart(model, [wrong], tmp_path, weights=0, quick=False)
    assert (ran.loaded, ran.fed) == (True, None)
    assert "40" in ran.problem


def test_what_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    nodes = [helper.make_node("NoSuchOperator", ["x"], ["y"])]
    model = save_graph(tmp_path / "odd.onnx", nodes, {"x": [2]}, ["y"], {})
    ran = run_apart(model, [], tmp_path, weights=0, quick=True)
    assert (ran.loaded, ran.fed) == (False, None)
    assert "NoSuchOperator" in ran.problem


def endless(folder: Path) -> Path:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name in ("again", "state")],
        "body",
        [
            value("step", TensorProto.INT64, []),
            value("again", TensorProto.BOOL, []),
            value("state", TensorProto.FLOAT, None),
        ],
        [value("again_out", TensorProto.BOOL, []), value("state_out", TensorProto.FLOAT, None)],
    )
    nodes = [helper.make_node("Loop", ["steps", "", "x"], ["y"], body=body)]
    steps = np.array(2**62)
    return save_graph(folder / "endless.onnx", nodes, {"x": [2]}, ["y"], {"steps": steps})


def greedy(folder: Path) -> Path:
    nodes = [
        helper.make_node("Expand", ["x", "shape"], ["wide"]),
        helper.make_node("ReduceMax", ["wide"], ["y"]),
    ]
    shape = np.array([2**20, 2**20])
    return save_graph(folder / "greedy.onnx", nodes, {"x": [1]}, ["y"], {"shape": shape})


@pytest.mark.slow
@pytest.mark.parametrize("make", [endless, greedy])
def test_a_graph_that_never_ends_or_takes_all_memory_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object
) -> None:
    monkeypatch.setattr(apart, "SECONDS", 6.0)
    path = make(tmp_path)  # type: ignore[operator]
    size = onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0].dim_value
    ran = run_apart(
        path, [given(tmp_path, x=np.ones(size, np.float32))], tmp_path, weights=0, quick=True
    )
    assert ran.fed is None
    assert ran.problem
