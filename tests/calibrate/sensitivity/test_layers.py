"""KL by layer of finished schemes of the demo model."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from quantkit.calibrate.sensitivity.layers import layer_divergence
from quantkit.calibrate.statistics import calibrate
from quantkit.core.divergence import kl_divergence
from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.graph.files import load_model, save_model
from quantkit.quantize.graphs import quantize_model
from quantkit.quantize.schemes.rtn import round_to_nearest
from quantkit.quantize.settings import parse_settings
from quantkit.runtime import trace
from quantkit.runtime.audio import read_audio
from quantkit.runtime.transcriber import Transcriber
from quantkit.speech.manifest import read_manifest
from tests.conftest import ROOT, Stage

pytestmark = pytest.mark.slow

LAYERS = ["encoder/stem", *(f"encoder/layers.{n}" for n in range(8)), "predictor", "joint"]
RTN = {"scheme": "rtn", "bits": 4, "block_size": 32, "accuracy_level": 1}


@pytest.fixture(scope="module")
def speech() -> list[Path]:
    """The shortest of the recordings for calibration."""
    manifest = ROOT / "calibration" / "asterisk-calibration" / "manifest.jsonl"
    utterances = sorted(read_manifest(manifest), key=lambda one: one.duration_s or 0.0)
    return [utterance.audio for utterance in utterances[:3]]


@pytest.fixture(scope="module")
def statistics(
    demo_artifact: Path, speech: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out, scratch = (tmp_path_factory.mktemp(name) for name in ("moments", "scratch"))
    calibrate(demo_artifact, speech, out, scratch, Silent(), hessians=True)
    return out


@pytest.fixture(scope="module")
def rtn(demo_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rtn")
    quantize_model(demo_artifact, None, parse_settings(RTN), out, Silent())
    return out


def divergence(model: Path, changed: Path, speech: Sequence[Path]) -> float:
    """Mean KL of the runtime on a directory of graphs, along the path of another."""
    plain, other = (Transcriber.load(path, 1) for path in (model, changed))
    found = []
    for audio in speech:
        samples = read_audio(audio)
        path = trace.run(plain, samples).tokens
        expected, heard = (
            trace.log_probabilities(
                one.transducer,
                np.concatenate(trace.run(one, samples).chunks),
                [token.id for token in path],
                [token.frame for token in path],
            )
            for one in (plain, other)
        )
        found.append(kl_divergence(expected, heard))
    return float(np.concatenate(found).mean())


def round_by_hand(model: Path, layer: str, out: Path) -> None:
    """Copy a model, every matrix of one layer rounded to 4 bits in blocks of 32."""
    shutil.copytree(model, out)
    graph, _, prefix = layer.partition("/")
    proto = onnx.load(out / f"{graph}.onnx")
    rounded = 0
    for tensor in proto.graph.initializer:
        weight = numpy_helper.to_array(tensor)
        if weight.ndim != 2 or "bias" in tensor.name or not tensor.name.startswith(f"{prefix}."):
            continue
        stored = round_to_nearest(np.ascontiguousarray(weight), 4, 32, symmetric=False)
        tensor.CopyFrom(numpy_helper.from_array(stored.dequantize(), tensor.name))
        rounded += 1
    assert rounded >= 1
    (out / f"{graph}.onnx.data").unlink()
    onnx.save(proto, out / f"{graph}.onnx")


def test_a_layers_share_is_that_of_a_model_changed_by_hand(
    demo_artifact: Path, rtn: Path, speech: list[Path], tmp_path: Path
) -> None:
    found = dict(layer_divergence(demo_artifact, rtn, speech, Silent()))
    assert list(found) == LAYERS
    for layer in ("encoder/stem", "encoder/layers.4"):
        round_by_hand(demo_artifact, layer, tmp_path / layer)
        wanted = divergence(demo_artifact, tmp_path / layer, speech)
        # Apart from float rounding: a directory is opened with all of the runtime's optimizations.
        assert found[layer] == pytest.approx(wanted, rel=0.01)
    for graph in ("predictor", "joint"):
        swapped = shutil.copytree(demo_artifact, tmp_path / graph)
        for file in rtn.glob(f"{graph}.onnx*"):
            shutil.copyfile(file, swapped / file.name)
        # With float activations a graph that is one layer is what the scheme ships.
        wanted = divergence(demo_artifact, swapped, speech)
        assert found[graph] == pytest.approx(wanted, rel=0.02)
    whole = divergence(demo_artifact, rtn, speech)
    assert 0.5 * whole < sum(found.values()) < 2 * whole


@pytest.mark.parametrize(
    ("content", "most"),
    [
        ({"scheme": "kquant", "bits": 8, "block_size": 32, "importance": "weight"}, 1e-3),
        ({"scheme": "gptq", "bits": 8, "block_size": 32}, 1e-3),
        ({"scheme": "rtn", "bits": 8, "block_size": 32, "equalize": True}, 1e-3),
        ({"scheme": "int8-dynamic"}, 1e-3),
        ({"scheme": "ort-dynamic-int8"}, 1e-2),
    ],
    ids=["kquant", "gptq", "equalized", "int8-dynamic", "ort-dynamic-int8"],
)
def test_every_way_of_storing_is_read(
    content: dict[str, Any],
    most: float,
    demo_artifact: Path,
    statistics: Path,
    speech: list[Path],
    tmp_path: Path,
) -> None:
    """8 bits do little; a tensor read in another way than it is stored does far more."""
    quantize_model(demo_artifact, statistics, parse_settings(content), tmp_path, Silent())
    found = layer_divergence(demo_artifact, tmp_path, speech[:1], Silent())
    assert [name for name, _ in found] == LAYERS
    assert all(1e-9 < kl < most for _, kl in found)


def test_the_names_that_olive_gives_are_read(
    demo_artifact: Path, rtn: Path, speech: list[Path], tmp_path: Path
) -> None:
    named = shutil.copytree(rtn, tmp_path / "olive")
    for path in named.glob("*.onnx"):
        model = load_model(path)
        for value in list(model.graph.initializers.values()):
            value.metadata_props.clear()
            value.name = re.sub(r"(_transposed|_table)?_q4$", r"\1_Q4", value.name or "")
        save_model(model, path)
    assert b"_Q4" in (named / "joint.onnx").read_bytes()
    as_named, as_ours = (
        layer_divergence(demo_artifact, path, speech[:1], Silent()) for path in (named, rtn)
    )
    assert as_named == as_ours


def test_what_stores_nothing_in_few_bits_has_no_layers(
    demo_artifact: Path, speech: list[Path]
) -> None:
    assert layer_divergence(demo_artifact, demo_artifact, speech, Silent()) == []


def test_graphs_that_the_scheme_was_not_made_from_are_refused(
    exported: Stage, rtn: Path, speech: list[Path]
) -> None:
    with pytest.raises(InputError, match=r"encoder\.onnx: has no .* \[.*\], which the scheme"):
        layer_divergence(exported(560), rtn, speech[:1], Silent())
