from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from benchmarks.products import write_products
from quantkit.graph.files import load_model
from quantkit.quantize.storage.matrices import find_matrices

pytestmark = pytest.mark.slow


def test_every_matrix_of_a_model_is_in_one_product(demo_artifact: Path, tmp_path: Path) -> None:
    path = tmp_path / "products.onnx"
    write_products(demo_artifact, path)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {
        node.name: np.random.default_rng(index).normal(size=node.shape).astype(np.float32)
        for index, node in enumerate(session.get_inputs())
    }
    names = [node.name for node in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, inputs), strict=True))
    matrices = {
        f"{graph}/{matrix.name}": matrix
        for graph in ("encoder", "predictor", "joint")
        for matrix in find_matrices(load_model(demo_artifact / f"{graph}.onnx"))
    }
    assert {matrix.use for matrix in matrices.values()} == {"product", "lookup"}
    assert outputs.keys() == {f"{name}/output" for name in matrices}
    for name, matrix in matrices.items():
        wanted = inputs[f"{name}/input"].astype(float) @ matrix.read()
        np.testing.assert_allclose(outputs[f"{name}/output"], wanted, atol=1e-4)
