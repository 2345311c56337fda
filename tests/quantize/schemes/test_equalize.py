from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import helper

from quantkit.core.progress import Silent
from quantkit.graph.files import load_model, save_model
from quantkit.quantize.moments import InputMoments
from quantkit.quantize.schemes.equalize import equalize_norms, normed_matrices
from quantkit.quantize.schemes.registry import quantize_matrix
from quantkit.quantize.settings import KQuantSettings
from quantkit.quantize.storage.matrices import Inputs, WeightMatrix, find_matrices
from tests.quantize.graphs import matrix, run, save_graph

ROWS = 64
SETTINGS = KQuantSettings(importance="activation", equalize=True)


def normed_graph(path: Path, *, skip: bool = False, spare_use: bool = False) -> Path:
    """A layer norm, with outlier channels, into the matrices "a" and "b"."""
    gamma = np.ones(ROWS, np.float32)
    gamma[::16] = 40.0
    constants: dict[str, NDArray[Any]] = {"gamma": gamma, "beta": matrix(1, ROWS, 4)[0]}
    constants |= {"a": matrix(ROWS, 24, 1), "b": matrix(ROWS, 40, 2)}
    affine = ["normed"] if not skip else ["normed", "", "", "sum"]
    norm = (
        helper.make_node(
            "SkipLayerNormalization", ["x", "x", "gamma", "beta"], affine, domain="com.microsoft"
        )
        if skip
        else helper.make_node("LayerNormalization", ["x", "gamma", "beta"], affine)
    )
    nodes = [
        norm,
        helper.make_node("MatMul", ["normed", "a"], ["y"]),
        helper.make_node("MatMul", ["normed", "b"], ["z"]),
    ]
    if spare_use:
        nodes.append(helper.make_node("Relu", ["normed"], ["r"]))
    outputs = ["y", "z", *(["r"] if spare_use else []), *(["sum"] if skip else [])]
    return save_graph(path, nodes, {"x": ["n", ROWS]}, outputs, constants)


def inputs_of(path: Path, samples: int = 500) -> Inputs:
    """The moments that a calibration of the graph would find."""
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info("normed", 1, None))
    probe = path.with_suffix(".probe.onnx")
    onnx.save(model, probe)
    normed = run(probe, x=matrix(samples, ROWS, 7))[-1].astype(float)
    hessian = normed.T @ normed / samples
    moments = InputMoments(hessian.diagonal().copy(), hessian.astype(np.float32))

    def inputs(_: WeightMatrix) -> InputMoments:
        return moments

    return inputs


def stored_error(model: ir.Model, inputs: Inputs) -> float:
    """Output error of everything as it would be stored."""
    total = 0.0
    for found in find_matrices(model):
        weight, moments = found.read(), inputs(found)
        assert moments is not None
        assert moments.hessian is not None
        rest = quantize_matrix(weight, SETTINGS, moments).dequantize().astype(float) - weight
        total += float((rest * (moments.hessian @ rest)).sum())
    return total


@pytest.mark.parametrize("skip", [False, True])
def test_outlier_channels_cost_less_and_the_function_stays(tmp_path: Path, skip: bool) -> None:
    path = normed_graph(tmp_path / "net.onnx", skip=skip)
    inputs, model = inputs_of(path), load_model(path)
    before = stored_error(model, inputs)
    now = equalize_norms(find_matrices(model), {"a": SETTINGS, "b": SETTINGS}, inputs, Silent())
    assert stored_error(model, now) < 0.8 * before

    save_model(model, tmp_path / "equal.onnx")
    x = matrix(9, ROWS, 8)
    for old, new in zip(run(path, x=x), run(tmp_path / "equal.onnx", x=x), strict=True):
        np.testing.assert_allclose(new, old, atol=2e-5 * np.abs(old).max())


def test_the_moments_are_those_of_the_changed_graph(tmp_path: Path) -> None:
    path = normed_graph(tmp_path / "net.onnx")
    inputs, model = inputs_of(path), load_model(path)
    now = equalize_norms(find_matrices(model), {"a": SETTINGS, "b": SETTINGS}, inputs, Silent())
    save_model(model, tmp_path / "equal.onnx")
    measured = inputs_of(tmp_path / "equal.onnx")
    one = find_matrices(model)[0]
    told, found = now(one), measured(one)
    assert told is not None
    assert found is not None
    np.testing.assert_allclose(told.diagonal, found.diagonal, rtol=1e-4)
    assert told.hessian is not None
    assert found.hessian is not None
    np.testing.assert_allclose(told.hessian, found.hessian, atol=1e-4 * found.hessian.max())


def test_a_norm_with_another_reader_or_an_excluded_matrix_stays(tmp_path: Path) -> None:
    busy = load_model(normed_graph(tmp_path / "busy.onnx", spare_use=True))
    assert not list(normed_matrices(find_matrices(busy)))

    path = normed_graph(tmp_path / "net.onnx")
    model = load_model(path)
    before = [found.read() for found in find_matrices(model)]
    equalize_norms(find_matrices(model), {"a": SETTINGS}, inputs_of(path), Silent())
    for old, found in zip(before, find_matrices(model), strict=True):
        np.testing.assert_array_equal(found.read(), old)


def test_it_finds_the_norms_of_the_demo_model(demo_artifact: Path) -> None:
    found = list(normed_matrices(find_matrices(load_model(demo_artifact / "encoder.onnx"))))
    names = [matrix.name.split(".", 2)[2] for group in found[:4] for matrix in group.matrices]
    assert names == [
        "feed_forward1.linear1.weight",
        "self_attn.linear_q+linear_k+linear_v.weight",
        "conv.pointwise_conv1.weight",
        "feed_forward2.linear1.weight",
    ]
    assert len(found) == 4 * 8
