from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from quantkit.bundle import layouts
from quantkit.bundle.gate import BundleError
from quantkit.bundle.guide import Layout
from quantkit.bundle.layouts import bundle_artifact
from quantkit.bundle.manifest import check_files, load_manifest
from quantkit.core.errors import InputError
from quantkit.runtime.settings import StreamingSettings

pytestmark = pytest.mark.slow


def test_layouts_share_the_weights_of_the_artifact(
    artifacts: dict[str, Path], bundles: dict[str, Path]
) -> None:
    for name, bundle in bundles.items():
        manifest, native = load_manifest(bundle), load_manifest(artifacts[name])
        check_files(bundle, manifest)
        weights = {file for file in manifest["files"] if file.endswith(".data")}
        assert weights == {file for file in native["files"] if file.endswith(".data")}
        for file in weights:
            assert manifest["files"][file] == native["files"][file]
        graphs = {file for file in manifest["files"] if file.endswith(".onnx")}
        assert graphs == {
            f"{graph}.{layout}.onnx"
            for graph in ("encoder", "decoder", "joiner")
            for layout in ("genai", "sherpa")
        }
        assert sum(manifest["files"][graph]["bytes"] for graph in graphs) < 700_000
        assert manifest["graphs"] == native["graphs"]
        assert manifest["layouts"].keys() == {"genai", "sherpa"}
    card = (bundles["int4"] / "README.md").read_text()
    assert "og.Model" in card
    assert "from_transducer" in card
    assert "quantkit transcribe" not in card


def test_the_same_artifact_gives_the_same_bytes(
    artifacts: dict[str, Path], bundles: dict[str, Path], tmp_path: Path
) -> None:
    bundle_artifact(artifacts["int4"], ["sherpa", "genai"], tmp_path / "again")
    again = load_manifest(tmp_path / "again")
    assert again["files"] == load_manifest(bundles["int4"])["files"]


def test_native_copies_and_may_lie_beside_others(
    artifacts: dict[str, Path], tmp_path: Path
) -> None:
    artifact = artifacts["int4"]
    bundle_artifact(artifact, ["native"], tmp_path / "copy")
    for path in artifact.iterdir():
        assert (tmp_path / "copy" / path.name).read_bytes() == path.read_bytes()
    bundle_artifact(tmp_path / "copy", ["native", "genai"], tmp_path / "both")
    manifest = load_manifest(tmp_path / "both")
    check_files(tmp_path / "both", manifest)
    assert manifest["layouts"].keys() == {"native", "genai"}
    assert {"encoder.onnx", "encoder.genai.onnx"} <= manifest["files"].keys()
    assert "quantkit transcribe" in (tmp_path / "both" / "README.md").read_text()
    # An artifact still, from which other layouts can be made.
    bundle_artifact(tmp_path / "both", ["sherpa"], tmp_path / "sherpa")
    assert (tmp_path / "sherpa" / "tokens.txt").exists()


@pytest.mark.parametrize("layout", ["native", "genai"])
def test_a_damaged_artifact_is_refused_by_file(
    artifacts: dict[str, Path], tmp_path: Path, layout: Layout
) -> None:
    artifact, out = tmp_path / "artifact", tmp_path / "out"
    shutil.copytree(artifacts["int4"], artifact)
    weights = artifact / "encoder.onnx.data"
    content = bytearray(weights.read_bytes())
    content[1000] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match=r"encoder\.onnx\.data: found sha256"):
        bundle_artifact(artifact, [layout], out)
    weights.unlink()
    with pytest.raises(InputError, match=r"encoder\.onnx\.data: is missing"):
        bundle_artifact(artifact, [layout], out)
    assert not out.exists()


def test_what_is_no_bundle_is_not_replaced(artifacts: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(InputError, match="holds no bundle of quantkit"):
        bundle_artifact(artifacts["int4"], ["genai"], tmp_path)
    assert (tmp_path / "precious").read_text() == "mine"
    with pytest.raises(InputError, match=r"the artifact .* itself"):
        bundle_artifact(artifacts["int4"], ["genai"], artifacts["int4"])


def test_other_numbers_are_refused_and_nothing_is_left(
    artifacts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layout of other weights: the gate has to tell it from rounding, in 4 bits too."""
    written = layouts._WRITERS["genai"]

    def write_other(_: Path, settings: StreamingSettings, out: Path) -> None:
        written(artifacts["fp32"], settings, out)
        for data in artifacts["fp32"].glob("*.data"):
            shutil.copyfile(data, out / data.name)

    monkeypatch.setitem(layouts._WRITERS, "genai", write_other)
    with pytest.raises(BundleError, match="genai: encoder differ by"):
        bundle_artifact(artifacts["int4"], ["genai"], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_was_not_fused_is_refused(
    artifacts: dict[str, Path], exported, tmp_path: Path
) -> None:
    from tests.bundle.conftest import as_artifact

    artifact = as_artifact(exported(560), tmp_path / "raw")
    with pytest.raises(InputError, match="no time-major CausalConvWithState"):
        bundle_artifact(artifact, ["sherpa"], tmp_path / "out")


def test_the_command(artifacts: dict[str, Path], tmp_path: Path, capsys) -> None:
    from quantkit.cli import main

    out = tmp_path / "out"
    assert main(["bundle", str(artifacts["int4"]), "--format", "genai", "--out", str(out)]) == 0
    assert "genai: within" in capsys.readouterr().out
    config = json.loads((out / "genai_config.json").read_text())
    assert config["model"]["encoder"]["filename"] == "encoder.genai.onnx"
    assert main(["bundle", str(artifacts["int4"]), "--format", "onnx", "--out", str(out)]) == 2
    assert main(["bundle", str(tmp_path), "--format", "genai", "--out", str(out)]) == 2
    assert "found no manifest.json" in capsys.readouterr().err
