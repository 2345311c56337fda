"""Artifacts of the demo model, and their bundles for both other runtimes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantkit.bundle.layouts import bundle_artifact
from quantkit.bundle.native import Facts, bundle_native
from quantkit.core.progress import Silent
from quantkit.quantize.graphs import quantize_model
from quantkit.quantize.settings import RtnSettings
from quantkit.speech.manifest import Utterance, read_manifest
from tests.bundle.test_native import FACTS
from tests.conftest import ROOT, Stage


def as_artifact(model: Path, out: Path) -> Path:
    """An artifact directory of a model's graphs."""
    report = model / "quantize.json"
    graphs = json.loads(report.read_text())["graphs"] if report.exists() else None
    out.mkdir()
    bundle_native(model, out, Facts(**{**vars(FACTS), "graphs": graphs}))
    return out


@pytest.fixture(scope="session")
def artifacts(fused: Stage, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The demo at 560 ms in fp32 and in 4 bits."""
    folder = tmp_path_factory.mktemp("artifacts")
    (folder / "model").mkdir()
    settings = RtnSettings(bits=4, block_size=32)
    quantize_model(fused(560), None, settings, folder / "model", Silent())
    return {
        "fp32": as_artifact(fused(560), folder / "fp32"),
        "int4": as_artifact(folder / "model", folder / "int4"),
    }


@pytest.fixture(scope="session")
def bundles(
    artifacts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Both layouts of each side by side."""
    folder = tmp_path_factory.mktemp("bundles")
    for name, artifact in artifacts.items():
        bundle_artifact(artifact, ["genai", "sherpa"], folder / name)
    return {name: folder / name for name in artifacts}


@pytest.fixture(scope="session")
def speech() -> list[Utterance]:
    """64 recordings of two speakers."""
    names = ("asterisk-parity", "game-parity")
    manifests = [ROOT / "calibration" / name / "manifest.jsonl" for name in names]
    return [one for manifest in manifests for one in read_manifest(manifest)[::2]]
