"""Measured damage on the demo model and its calibration speech."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantkit.calibrate.sensitivity.damage import DamageMeter
from quantkit.calibrate.sensitivity.measure import measure_sensitivity
from quantkit.calibrate.sensitivity.reference import float_utterances
from quantkit.core.divergence import kl_divergence
from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.graph.files import load_model
from quantkit.quantize.graphs import quantize_model
from quantkit.quantize.inventory import Inventory
from quantkit.quantize.settings import RtnSettings
from quantkit.quantize.widths.measured import Sensitivity, load_sensitivity
from quantkit.quantize.widths.settings import MixedSettings, Width
from quantkit.runtime import trace
from quantkit.runtime.audio import read_audio
from quantkit.runtime.transcriber import Transcriber
from quantkit.speech.manifest import read_manifest, spread
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

PATIENCE_S = 120.0
WIDTHS = (Width(bits=4, block_size=128), Width(bits=8, block_size=32))
TENSORS = (
    "encoder/layers.0.conv.pointwise_conv2.weight",
    "encoder/layers.5.conv.pointwise_conv2.weight",
    "predictor/embedding.weight",
    "predictor/cells.1.gates.weight",
    "joint/output.1.weight",
)


def all_but(names: Sequence[str], model: Path) -> RtnSettings:
    """Round to nearest for these tensors."""
    graphs = {path.stem: load_model(path) for path in sorted(model.glob("*.onnx"))}
    return RtnSettings(exclude=tuple(sorted(set(Inventory.of(graphs).matrices) - set(names))))


def measure(
    model: Path, speech: Sequence[Path], settings: RtnSettings, out: Path, scratch: Path
) -> None:
    for folder in (out, scratch):
        folder.mkdir(exist_ok=True)
    measure_sensitivity(model, None, speech, settings, WIDTHS, out, scratch, Silent())


@pytest.fixture(scope="module")
def speech() -> list[Path]:
    """The shortest of the recordings for calibration."""
    manifest = ROOT / "calibration" / "asterisk-calibration" / "manifest.jsonl"
    utterances = sorted(read_manifest(manifest), key=lambda one: one.duration_s or 0.0)
    return [utterance.audio for utterance in utterances[:3]]


@pytest.fixture(scope="module")
def settings(demo_artifact: Path) -> RtnSettings:
    return all_but(TENSORS, demo_artifact)


@pytest.fixture(scope="module")
def measured(
    demo_artifact: Path,
    speech: list[Path],
    settings: RtnSettings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("sensitivity")
    measure(demo_artifact, speech, settings, folder / "out", folder / "scratch")
    return folder / "out"


def test_every_tensor_is_measured_at_every_width(measured: Path) -> None:
    report: Sensitivity = load_sensitivity(measured)
    assert tuple(tensor["name"] for tensor in report["tensors"]) == TENSORS
    assert report["utterances"] == 3
    assert report["decisions"] == report["reference"]["frames"] + report["reference"]["tokens"]
    assert report["scheme"]["scheme"] == "rtn"
    assert "bits" not in report["scheme"]
    for tensor in report["tensors"]:
        rows, columns = tensor["shape"]
        assert tensor["parameters"] == rows * columns
        small, large = tensor["choices"]
        assert (small["bits"], small["block_size"]) == (4, 128)
        assert small["bytes"] < 0.6 * large["bytes"] < 0.6 * 4 * tensor["parameters"]
        # The step is more than 16 times as wide, and KL grows with its square.
        assert small["kl_mean"] > 20 * large["kl_mean"] > 0
        assert small["relative_error"] > 15 * large["relative_error"] > 0
        assert small["kl_p99"] > small["kl_mean"]
        assert 0 <= large["flips"] <= small["flips"] < 0.2


def test_damage_is_what_the_stored_model_shows(
    measured: Path,
    demo_artifact: Path,
    speech: list[Path],
    tmp_path: Path,
) -> None:
    name = TENSORS[1]
    alone = all_but([name], demo_artifact).model_copy(update={"block_size": 128})
    quantize_model(demo_artifact, None, alone, tmp_path, Silent())
    plain, quantized = (Transcriber.load(path, 1) for path in (demo_artifact, tmp_path))
    divergences = []
    for audio in speech:
        samples = read_audio(audio, 16000)
        path = trace.run(plain, samples).tokens
        expected, found = (
            trace.log_probabilities(
                model.transducer,
                np.concatenate(trace.run(model, samples).chunks),
                [token.id for token in path],
                [token.frame for token in path],
            )
            for model in (plain, quantized)
        )
        divergences.append(kl_divergence(expected, found))
    wanted = float(np.concatenate(divergences).mean())
    # Apart from float rounding: an artifact is opened with all of the runtime's optimizations.
    assert load_sensitivity(measured)["tensors"][1]["choices"][0]["kl_mean"] == pytest.approx(
        wanted, rel=0.01
    )


@pytest.mark.parametrize("graph", ["encoder", "predictor", "joint"])
def test_an_unchanged_graph_does_no_damage(
    graph: Any, demo_artifact: Path, speech: list[Path]
) -> None:
    meter = DamageMeter(demo_artifact, float_utterances(demo_artifact, speech[:1], Silent()))
    damage = meter.damage(graph, load_model(demo_artifact / f"{graph}.onnx"))
    # The squares of float rounding; a weight of 8 bits moves KL by 1e-7.
    assert damage.kl_mean < 1e-9
    assert damage.flips == 0


def test_a_killed_measurement_goes_on_to_the_same_bytes(
    measured: Path,
    demo_artifact: Path,
    speech: list[Path],
    settings: RtnSettings,
    tmp_path: Path,
) -> None:
    scratch, killed = tmp_path / "scratch", tmp_path / "killed"
    script = (
        "from pathlib import Path, PosixPath\n"
        "from quantkit.quantize.settings import RtnSettings\n"
        "from tests.calibrate.sensitivity.test_measure import measure\n"
        f"settings = RtnSettings(exclude={settings.exclude!r})\n"
        f"measure({demo_artifact!r}, {speech!r}, settings, {killed!r}, {scratch!r})\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT) as child:
        deadline = time.monotonic() + PATIENCE_S
        while len(list(scratch.glob("[!.]*"))) < 3:
            assert child.poll() is None, "ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        child.kill()
    done = {path: path.stat().st_mtime_ns for path in scratch.glob("[!.]*")}
    assert len(done) < len(TENSORS) * len(WIDTHS)
    assert not list(killed.iterdir())

    measure(demo_artifact, speech, settings, tmp_path / "again", scratch)
    assert {path: path.stat().st_mtime_ns for path in done} == done, "done work was done again"
    whole = (measured / "sensitivity.json").read_bytes()
    assert (tmp_path / "again" / "sensitivity.json").read_bytes() == whole


def test_a_budget_from_measurements_to_a_model(
    measured: Path, demo_artifact: Path, settings: RtnSettings, tmp_path: Path
) -> None:
    tensors = load_sensitivity(measured)["tensors"]
    graphs = {path.stem: load_model(path) for path in sorted(demo_artifact.glob("*.onnx"))}
    least = Inventory.of(graphs).kept(TENSORS) + sum(t["choices"][0]["bytes"] for t in tensors)
    # Room for all that is small, but not for the prediction network.
    widths = {
        "by": "budget",
        "megabytes": (least + 200_000) / 1e6,
        "choices": [width.model_dump() for width in WIDTHS],
    }
    mixed = MixedSettings.model_validate({"base": settings.model_dump(), "widths": widths})
    quantize_model(demo_artifact, None, mixed, tmp_path, Silent(), measured)
    reports = json.loads((tmp_path / "quantize.json").read_text())["graphs"]
    bits = {
        f"{graph}/{tensor['name']}": tensor["bits"]
        for graph, report in reports.items()
        for tensor in report["tensors"]
        if tensor["block_size"] is not None
    }
    assert bits == {name: 4 if "gates" in name else 8 for name in TENSORS}
    samples = read_audio(ROOT / "calibration" / "asterisk-parity" / "vm-tocancel.flac", 16000)
    assert trace.run(Transcriber.load(tmp_path, 1), samples).tokens


def test_globs_are_those_of_the_recipe(
    demo_artifact: Path, speech: list[Path], tmp_path: Path
) -> None:
    wrong = RtnSettings(exclude=("decoder/*",))
    with pytest.raises(InputError, match=r"^quantize\.exclude\[0\]: 'decoder/\*' matches none"):
        measure(demo_artifact, speech, wrong, tmp_path / "out", tmp_path / "scratch")


def test_some_of_the_recordings_come_from_all_of_them() -> None:
    recordings = [Path(f"{index}.wav") for index in range(10)]
    assert [path.stem for path in spread(recordings, 4)] == ["0", "2", "5", "7"]
    assert spread(recordings, None) == spread(recordings, 11) == recordings
