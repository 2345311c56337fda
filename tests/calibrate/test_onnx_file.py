"""Inputs of any model from .npz files, and what they say about its weights."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from quantkit.calibrate.onnx_file import load_inputs, observe_runs
from quantkit.core.errors import InputError
from quantkit.graph.files import load_model
from tests.quantize.graphs import matrix, save_graph, two_layers


def written(path: Path, **arrays: Any) -> Path:
    np.savez(path, allow_pickle=False, **arrays)
    return path


@pytest.fixture
def graph(tmp_path: Path) -> ir.Graph:
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["embedded"]),
        helper.make_node("Add", ["embedded", "x"], ["y"]),
    ]
    shapes: dict[str, list[int | str]] = {"x": ["batch", 16], "tokens": ["batch"]}
    constants = {"table": matrix(9, 16)}
    path = save_graph(tmp_path / "net.onnx", nodes, shapes, ["y"], constants, integers=["tokens"])
    return load_model(path).graph


def new(folder: Path) -> Path:
    """An empty directory in another."""
    return Path(mkdtemp(dir=folder))


def test_one_file_is_one_set_of_inputs(tmp_path: Path, graph: ir.Graph) -> None:
    given = {"x": matrix(3, 16), "tokens": np.array([1, 2, 8])}
    found = load_inputs(written(tmp_path / "run.npz", **given), graph)
    assert found.keys() == given.keys()
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": None}, "input 'tokens' is missing"),
        ({"text": np.ones(1)}, "input 'text' is unknown"),
        ({"x": np.ones((3, 16))}, r"input 'x' is float64 \[3, 16\]"),
        ({"x": matrix(3, 17)}, r"input 'x' is float32 \[3, 17\]"),
        ({"x": matrix(3, 16)[0]}, r"input 'x' is float32 \[16\]"),
        ({"tokens": np.ones(3, np.int32)}, r"input 'tokens' is int32 \[3\]"),
    ],
)
def test_what_does_not_fit_is_named_with_what_does(
    tmp_path: Path, graph: ir.Graph, change: dict[str, Any], message: str
) -> None:
    arrays = {"x": matrix(3, 16), "tokens": np.array([1, 2, 8])} | change
    path = written(tmp_path / "run.npz", **{k: v for k, v in arrays.items() if v is not None})
    accepted = r"Accepted: x float32 \[batch, 16\]; tokens int64 \[batch\]\. Write it with"
    with pytest.raises(InputError, match=rf"run\.npz: .*{message}.*{accepted}"):
        load_inputs(path, graph)


def test_what_is_no_archive_is_refused(tmp_path: Path, graph: ir.Graph) -> None:
    with pytest.raises(InputError, match=r"gone\.npz: no such file"):
        load_inputs(tmp_path / "gone.npz", graph)
    (tmp_path / "run.npz").write_text("text")
    with pytest.raises(InputError, match=r"run\.npz: this is not an \.npz archive"):
        load_inputs(tmp_path / "run.npz", graph)


def test_moments_are_of_all_rows_of_all_runs(tmp_path: Path) -> None:
    model = two_layers(tmp_path / "net.onnx", external=True)
    runs = [matrix(rows, 40, rows) for rows in (3, 5)]
    found = observe_runs(model, [{"x": x} for x in runs], new(tmp_path), hessians=True)
    rows = np.concatenate(runs).astype(float)
    hidden = np.maximum(rows @ matrix(40, 24, 1), 0)
    assert found.keys() == {"first.weight", "second.weight"}
    for name, inputs in (("first.weight", rows), ("second.weight", hidden)):
        wanted = (inputs**2).mean(axis=0)
        np.testing.assert_allclose(found[name].diagonal, wanted, rtol=1e-5)
        hessian = inputs.T @ inputs / len(inputs)
        measured = np.asarray(found[name].hessian)
        assert measured.dtype == np.float32
        np.testing.assert_allclose(measured, hessian, rtol=1e-5, atol=1e-5)
    without = observe_runs(model, [{"x": x} for x in runs], new(tmp_path), hessians=False)
    assert all(moments.hessian is None for moments in without.values())


def test_runs_without_numbers_are_refused(tmp_path: Path) -> None:
    model = two_layers(tmp_path / "net.onnx")
    infinite = matrix(3, 40)
    infinite[1, 2] = np.inf
    for x in (infinite, matrix(0, 40)):
        with pytest.raises(InputError, match=r"'first\.weight' was multiplied by nothing, or"):
            observe_runs(model, [{"x": x}], new(tmp_path), hessians=False)


def test_a_run_that_fails_is_named_by_its_number(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("MatMul", ["sum", "w"], ["y"]),
    ]
    shapes: dict[str, list[int | str]] = {"a": ["n", 16], "b": ["n", 16]}
    model = save_graph(tmp_path / "net.onnx", nodes, shapes, ["y"], {"w": matrix(16, 16)})
    good = {"a": matrix(2, 16), "b": matrix(2, 16)}
    with pytest.raises(InputError, match=r"net\.onnx: calibration run 2 fails"):
        observe_runs(model, [good, good | {"b": matrix(3, 16)}], new(tmp_path), hessians=False)
    nodes[0] = helper.make_node("Add", ["a"], ["sum"])
    broken = save_graph(tmp_path / "broken.onnx", nodes, shapes, ["y"], {"w": matrix(16, 16)})
    with pytest.raises(InputError, match=r"broken\.onnx: .* has 1 inputs, needs 2"):
        observe_runs(broken, [good], new(tmp_path), hessians=False)
