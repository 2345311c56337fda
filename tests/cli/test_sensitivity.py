"""`quantkit sensitivity` on the demo model, with few tensors and few words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from quantkit.build.engine import Stage, Workspace
from quantkit.build.stages import sensitivity_stage
from quantkit.cli import main
from quantkit.graph.files import load_model
from quantkit.quantize.inventory import Inventory
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

TENSORS = ("predictor/embedding.weight", "joint/encoder.weight", "joint/output.1.weight")
RECIPE = """schema: 1
name: few
model: {{source: demo, chunk_ms: 560}}
calibrate: {{manifest: {calibration}/asterisk-calibration/manifest.jsonl}}
quantize:
  scheme: mixed
  base: {{scheme: rtn, exclude: {exclude}}}
  widths:
    by: budget
    megabytes: {megabytes}
    choices:
      - {{bits: 4, block_size: 64}}
      - {{bits: 8, block_size: 64}}
sensitivity: {{utterances: 2}}
verify:
  manifest: {calibration}/asterisk-parity/manifest.jsonl
  gates: {{token_error_rate: 0.5}}
"""


@pytest.fixture
def recipe(demo_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe whose fused model is there already."""

    def copy(space: Workspace) -> None:
        shutil.copytree(demo_artifact, space.out, dirs_exist_ok=True)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "quantkit.build.sensitivity.sensitivity_chain",
        lambda recipe, _: [Stage("fuse", "1", copy), sensitivity_stage(recipe)],
    )
    graphs = {path.stem: load_model(path) for path in demo_artifact.glob("*.onnx")}
    inventory = Inventory.of(graphs)
    text = RECIPE.format(
        calibration=ROOT / "calibration",
        exclude=sorted(set(inventory.matrices) - set(TENSORS)),
        # All at 4 bits, and room for 8 bits in one of them.
        megabytes=(inventory.kept(TENSORS) + 3 * 37_100 + 34_000) / 1e6,
    )
    Path("few.yaml").write_text(text)
    return Path("few.yaml")


def test_measured_shown_drawn_and_allocated(recipe: Path, capsys) -> None:
    words = ["sensitivity", str(recipe), "--json", "s.json", "--plot", "s.svg"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "sensitivity: done in" in err
    report = json.loads(Path("s.json").read_text())
    assert tuple(tensor["name"] for tensor in report["tensors"]) == TENSORS
    assert report["utterances"] == 2
    assert Path("s.svg").read_text().startswith("<?xml")
    shown = " ".join(out.split())
    assert f"2 utterances, {report['decisions']} decisions" in shown
    assert shown.index("joint/output.1") < shown.index("predictor/embedding"), "worst first"
    assert "bits per weight; sum of KL" in shown

    assert main([*words, "--set", "quantize.widths.megabytes=60"]) == 0
    assert "sensitivity: cached" in capsys.readouterr().err, "another budget measures nothing"


def test_what_cannot_be_is_told_with_its_place(recipe: Path, capsys) -> None:
    assert main(["sensitivity", str(recipe), "--plot", "s.pdf"]) == 2
    assert "--plot s.pdf: accepted: a file ending in .svg or .png" in capsys.readouterr().err
    assert main(["sensitivity", str(recipe), "--set", "quantize.widths.megabytes=1"]) == 2
    told = "--set quantize.widths.megabytes=1: quantize.widths.megabytes: found 1, accepted: at"
    assert told in capsys.readouterr().err
    assert main(["sensitivity", str(recipe), "--set", "quantize.base.exclude=['x/*']"]) == 2
    assert "quantize.base.exclude[0]: 'x/*' matches none" in capsys.readouterr().err
    assert main(["sensitivity", str(recipe), "--set", "quantize=null"]) == 2
    assert "recipe 'few' has no quantize" in capsys.readouterr().err
