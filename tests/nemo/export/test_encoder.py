"""The exported graphs stream exactly as NeMo does, first and last chunk included."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from nemo.collections.asr.models import EncDecRNNTBPEModel

from quantkit.core.progress import Silent
from quantkit.nemo.export.stage import export_checkpoint
from quantkit.nemo.loading.checkpoint import load_checkpoint
from quantkit.nemo.reference.streaming import NemoStreamer
from quantkit.runtime import trace
from quantkit.runtime.audio import read_audio
from quantkit.runtime.transcriber import Transcriber
from quantkit.speech.manifest import read_manifest
from tests.conftest import CHUNKS_MS, Stage

pytestmark = pytest.mark.slow

# Float32 rounding through the encoder; outputs are layer-normed, so of magnitude 1 to 10.
ROUNDING = 1e-4


@pytest.fixture(scope="module")
def model(demo_checkpoint: Path) -> EncDecRNNTBPEModel:
    return load_checkpoint(demo_checkpoint)


@pytest.mark.parametrize("chunk_ms", CHUNKS_MS)
def test_tokens_frames_and_encodings_equal_nemo(
    chunk_ms: int, exported: Stage, model: EncDecRNNTBPEModel, parity_manifest: Path
) -> None:
    artifact = Transcriber.load(exported(chunk_ms))
    settings = artifact.settings
    streamer = NemoStreamer(model, settings.left_context, settings.right_context)
    for utterance in read_manifest(parity_manifest)[:8]:
        samples = read_audio(utterance.audio)
        expected, found = streamer.run(samples), trace.run(artifact, samples)
        assert [t.id for t in found.tokens] == expected.tokens
        assert [t.frame for t in found.tokens] == expected.token_frames
        assert len(found.chunks) == len(expected.chunks)
        for ours, theirs in zip(found.chunks, expected.chunks, strict=True):
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("chunk_ms", [80, 1120])
def test_a_stream_longer_than_the_caches_equals_nemo(
    chunk_ms: int, exported: Stage, model: EncDecRNNTBPEModel, parity_manifest: Path
) -> None:
    """Their rings, of 5.7 and 6.7 seconds, go round three times and more."""
    artifact = Transcriber.load(exported(chunk_ms))
    settings = artifact.settings
    utterances = read_manifest(parity_manifest)[:12]
    samples = np.concatenate([read_audio(u.audio) for u in utterances])[: 24 * 16000]
    assert len(samples) == 24 * 16000
    streamer = NemoStreamer(model, settings.left_context, settings.right_context)
    expected, found = streamer.run(samples), trace.run(artifact, samples)
    assert [t.id for t in found.tokens] == expected.tokens
    for ours, theirs in zip(found.chunks, expected.chunks, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("samples", [1, 159, 160, 319, 5000, 7839, 7840, 9000, 16800, 16960, 17120])
def test_every_length_of_a_short_recording(
    samples: int, exported: Stage, model: EncDecRNNTBPEModel
) -> None:
    """Around the ends of first and second chunk, where frames are dropped, padded or missing."""
    artifact = Transcriber.load(exported(560))
    streamer = NemoStreamer(model, 70, 6)
    noise = np.random.default_rng(samples).standard_normal(samples).astype(np.float32) * 0.1
    expected, found = streamer.run(noise), trace.run(artifact, noise)
    assert [len(c) for c in found.chunks] == [len(c) for c in expected.chunks]
    for ours, theirs in zip(found.chunks, expected.chunks, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=ROUNDING, rtol=0)
    assert [t.id for t in found.tokens] == expected.tokens


def test_the_same_checkpoint_gives_the_same_bytes(
    exported: Stage, demo_checkpoint: Path, tmp_path: Path
) -> None:
    export_checkpoint(demo_checkpoint, 560, tmp_path, Silent())
    first = {path.name: path.read_bytes() for path in exported(560).iterdir()}
    again = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert first == again


def test_nothing_in_the_files_names_the_machine(exported: Stage) -> None:
    here = str(Path(__file__).parents[3]).encode()
    for path in exported(560).iterdir():
        content = path.read_bytes()
        assert here not in content
        assert b"site-packages" not in content


def test_settings_say_what_the_graphs_are(exported: Stage) -> None:
    directory = exported(160)
    settings = json.loads((directory / "streaming.json").read_text())
    graph = ir.load(directory / "encoder.onnx").graph
    ports = [*graph.inputs, *graph.outputs]
    shapes = {port.name: list(port.shape or ()) for port in ports}
    assert shapes["features"][1:] == [settings["window_frames"], settings["mel"]["n_mels"]]
    assert shapes["encoded"][1:] == [settings["right_context"] + 1, settings["encoder"]["dim"]]
    assert {str(shape[0]) for shape in shapes.values()} == {"batch"}
    assert settings["chunk_s"] == pytest.approx(0.16)
    assert settings["algorithmic_latency_s"] == pytest.approx(0.08 + 0.0125)
