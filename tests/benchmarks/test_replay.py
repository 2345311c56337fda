"""What a replay calls a difference."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import helper

from benchmarks.replay import differences
from tests.quantize.graphs import matrix, save_graph


@pytest.fixture
def artifacts(tmp_path: Path) -> tuple[Path, Path]:
    """Two artifacts with the same graph."""
    folders = tmp_path / "old", tmp_path / "new"
    for folder in folders:
        folder.mkdir()
        nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
        save_graph(folder / "joint.onnx", nodes, {"x": [1, 32]}, ["y"], {"w": matrix(32, 8)})
        (folder / "manifest.json").write_text(json.dumps({"graphs": {}, "parity": {}}))
    return folders


def test_metadata_alone_is_told_apart_from_other_differences(artifacts: tuple[Path, Path]) -> None:
    old, new = artifacts
    assert differences(old, new) == []
    model = onnx.load(new / "joint.onnx")
    helper.set_model_props(model, {"a": "b"})
    model.graph.node[0].metadata_props.add(key="made by", value="this")
    onnx.save(model, new / "joint.onnx")
    assert differences(old, new) == ["joint.onnx (metadata_props alone)"]
    model.graph.node[0].name = "another"
    onnx.save(model, new / "joint.onnx")
    assert differences(old, new) == ["joint.onnx"]
    (new / "joint.onnx").unlink()
    assert differences(old, new) == ["joint.onnx"]
