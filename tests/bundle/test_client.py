"""Both layouts in their runtimes' calling conventions, from shared mel features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantkit.bundle.client import Client
from quantkit.bundle.layouts import bundle_artifact
from quantkit.bundle.sherpa import FLOOR
from quantkit.runtime.audio import read_audio
from quantkit.runtime.decoders.greedy import GreedyDecoder
from quantkit.runtime.encoders.cache_aware import EncoderStep
from quantkit.runtime.encoders.chunks import ChunkWindows
from quantkit.runtime.mel import LogMel
from quantkit.runtime.sessions import open_session
from quantkit.runtime.settings import StreamingSettings
from quantkit.runtime.transcriber import Transcriber
from quantkit.speech.manifest import Utterance
from tests.bundle.conftest import as_artifact
from tests.conftest import CHUNKS_MS, Stage

pytestmark = pytest.mark.slow


def mel_of(audio: Path, settings: StreamingSettings) -> np.ndarray:
    """Features of a recording and a second and a half of silence, what is very quiet silenced."""
    samples = np.pad(read_audio(audio, 16000), (0, 24000))
    energy = np.exp(LogMel(settings.mel, 16000).push(samples)) - settings.mel.log_guard
    quiet = np.where(energy > FLOOR * 1.01, energy, 0)
    return np.log(quiet + settings.mel.log_guard).astype(np.float32)


def as_kaldi(mel: np.ndarray, settings: StreamingSettings) -> np.ndarray:
    """The same energies as sherpa-onnx's front end gives them."""
    energy = np.exp(mel.astype(np.float64)) - settings.mel.log_guard
    return np.log(np.maximum(energy, FLOOR)).astype(np.float32)


@pytest.mark.parametrize("layout", ["genai", "sherpa"])
@pytest.mark.parametrize("name", ["fp32", "int4"])
def test_every_token_is_the_native_runtimes(
    artifacts: dict[str, Path],
    bundles: dict[str, Path],
    speech: list[Utterance],
    layout: str,
    name: str,
) -> None:
    native = Transcriber.load(artifacts[name], 1)
    settings = native.settings
    client = Client(bundles[name], layout, settings, lambda path: open_session(path, 1))
    encoder = EncoderStep(native.encoder, native.settings)
    ours = GreedyDecoder(native.transducer, settings.max_symbols)
    theirs = GreedyDecoder(client, settings.max_symbols)
    exact, errors = 0, []
    for one in speech[::5]:
        mel = mel_of(one.audio, settings)
        fed = as_kaldi(mel, settings) if layout == "sherpa" else mel
        expected, found = ours.start(), theirs.start()
        encoder.reset()
        chunks = ChunkWindows(settings).push(mel)
        for window, encoded in zip(chunks, client.encode(fed), strict=False):
            reference = encoder.step(window)
            errors.append(np.abs(encoded - reference).max())
            ours.extend([expected], reference, [reference.shape[1]])
            theirs.extend([found], encoded, [encoded.shape[1]])
        assert expected.tokens
        exact += found.tokens == expected.tokens
    if (name, layout) == ("int4", "sherpa"):
        # Its features pass through exp and log; where activations are rounded to 8 bits, a last
        # bit of them becomes a step.
        assert exact >= 10
        assert max(errors) < 0.2
    else:
        assert exact == 13
        assert max(errors) < 5e-5


@pytest.mark.parametrize("chunk_ms", CHUNKS_MS)
def test_every_chunk_length_passes_the_gate(fused: Stage, chunk_ms: int, tmp_path: Path) -> None:
    artifact = as_artifact(fused(chunk_ms), tmp_path / "artifact")
    manifest = bundle_artifact(artifact, ["genai", "sherpa"], tmp_path / "out")
    for layout in ("genai", "sherpa"):
        assert manifest["layouts"][layout]["max_relative_error"] < 5e-6
