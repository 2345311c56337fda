"""What the rewrites match in the demo model, and that the gate holds them to the numbers."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from quantkit.core.progress import Silent
from quantkit.graph import fusion as fuse_stage
from quantkit.graph import gate
from quantkit.graph.fusion import fuse_model
from quantkit.graph.rewrite import MatchError, Rewrite, any_number
from tests.conftest import Stage

pytestmark = pytest.mark.slow


def matches(directory: Path, graph: str) -> dict[str, int]:
    report = json.loads((directory / "fuse.json").read_text())["rewrites"]
    return {row["name"]: row["matches"] for row in report if row["graph"] == graph}


def operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in ir.load(path).graph)


@pytest.mark.parametrize("chunk_ms", [80, 560])
def test_every_layer_is_matched(chunk_ms: int, fused: Stage) -> None:
    directory = fused(chunk_ms)
    layers = json.loads((directory / "streaming.json").read_text())["encoder"]["layers"]
    found = matches(directory, "encoder")
    assert found["pointwise convolution to MatMul"] == 2 * layers
    assert found["packed projections"] == layers
    assert found["heads"] == found["attention"] == found["causal convolution"] == layers
    assert found["SiLU"] == 3 * layers
    assert found["residual scale"] == 2 * layers
    count = operators(directory / "encoder.onnx")
    assert count["Sigmoid"] == layers  # the gates of the linear units
    assert count["Identity"] == count["Constant"] == count["CastLike"] == 0
    # What is left of the stem and of the one query that each layer turns.
    assert count["Conv"] == count["Relu"] + 2
    assert count["Transpose"] == layers + 1
    assert count["Reshape"] <= 2 * layers + 5


def test_nan_in_one_output_is_refused_whatever_the_next_one_is() -> None:
    ones = np.ones(3, np.float32)
    exact: dict[str, NDArray[np.generic]] = {"first": ones, "second": ones}
    broken = exact | {"first": np.full(3, np.nan, np.float32)}
    assert gate.check("none", [exact], [exact]) == 0
    with pytest.raises(gate.FusionError, match="output 'first' of step 0 moved by inf"):
        gate.check("broken", [exact], [broken])


def test_errors_are_rounding(fused: Stage) -> None:
    report = json.loads((fused(560) / "fuse.json").read_text())["rewrites"]
    assert max(row.get("max_relative_error", 0.0) for row in report) < 1e-5


def zeroed_position_bias(model: ir.Model) -> int:
    """What the stock conformer fusion does in effect: part of the position term is lost."""
    names = [name for name in model.graph.initializers if name.endswith("position_bias")]
    for name in names:
        value = model.graph.initializers[name]
        assert value.const_value is not None
        value.const_value = ir.tensor(value.const_value.numpy() * 0, name=name)
    return len(names)


def dropped_cache_mask(model: ir.Model) -> int:
    """Let attention see the part of the cache that is not yet filled."""
    for node in model.graph:
        sources = {}
        for value in node.inputs:
            producer = value.producer() if value is not None else None
            if producer is not None and value is not None:
                sources[producer.op_type] = value
        if node.op_type == "And" and sources.keys() == {"GreaterOrEqual", "Less"}:
            ir.convenience.replace_all_uses_with(node.outputs[0], sources["Less"])
            return 1
    return 0


@pytest.mark.parametrize("change", [zeroed_position_bias, dropped_cache_mask])
def test_a_rewrite_that_changes_numbers_is_refused_by_name(
    change: Callable[[ir.Model], int],
    exported: Stage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = fuse_stage.REWRITES
    wrong = Rewrite("the wrong one", change, any_number)
    monkeypatch.setattr(fuse_stage, "REWRITES", (*good[:2], wrong))
    with pytest.raises(gate.FusionError, match=r"'the wrong one' is refused.*step"):
        fuse_model(exported(560), tmp_path, Silent())


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("Softmax", "MatMul", "'attention' .*found 7 .*accepted 8.*expected Softmax, got Neg"),
        ("MatMul", "Mul", "'residual scale' .*found 15 .*accepted 16.*scales by 0.5 is no product"),
    ],
)
def test_a_layer_that_is_written_otherwise_is_refused(
    before: str, after: str, message: str, exported: Stage, tmp_path: Path
) -> None:
    """Two negations between nodes of one layer leave the numbers, and no pattern matches there."""
    source, out = tmp_path / "exported", tmp_path / "fused"
    shutil.copytree(exported(560), source)
    out.mkdir()
    model = ir.load(source / "encoder.onnx")
    node, user = next(
        (node, use.node)
        for node in reversed(model.graph)
        if node.op_type == before and not node.outputs[0].is_graph_output()
        for use in node.outputs[0].uses()
        if use.node.op_type == after
    )
    first = ir.node("Neg", [node.outputs[0]])
    second = ir.node("Neg", [first.outputs[0]])
    model.graph.insert_after(node, [first, second])
    user.replace_input_with(list(user.inputs).index(node.outputs[0]), second.outputs[0])
    ir.save(model, source / "encoder.onnx")
    with pytest.raises(MatchError, match=message):
        fuse_model(source, out, Silent())


def test_the_same_input_gives_the_same_bytes(exported: Stage, fused: Stage, tmp_path: Path) -> None:
    fuse_model(exported(560), tmp_path, Silent())
    first = {path.name: path.read_bytes() for path in fused(560).iterdir()}
    assert first == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
