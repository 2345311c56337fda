"""The fp32 demo model against NeMo's own streaming where it is easiest to go wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nemo.collections.asr.models import EncDecRNNTBPEModel
from numpy.typing import NDArray

from quantkit.nemo.loading.checkpoint import load_checkpoint
from quantkit.nemo.reference.streaming import NemoStreamer, ReferenceUtterance
from quantkit.runtime import trace
from quantkit.runtime.audio import read_audio
from quantkit.runtime.transcriber import Transcriber
from quantkit.speech.manifest import read_manifest

Array = NDArray[np.float32]

# Float32 rounding through the encoder; outputs are layer-normed, so of magnitude 1 to 10.
ROUNDING = 1e-4
CHUNK, HOP, SECOND = 8960, 160, 16_000


@pytest.fixture(scope="module")
def model(demo_checkpoint: Path) -> EncDecRNNTBPEModel:
    return load_checkpoint(demo_checkpoint)


@pytest.fixture(scope="module")
def nemo(model: EncDecRNNTBPEModel) -> NemoStreamer:
    return NemoStreamer(model, 70, 6)


@pytest.fixture(scope="module")
def artifact(demo_artifact: Path) -> Transcriber:
    return Transcriber.load(demo_artifact)


@pytest.fixture(scope="module")
def clips(parity_manifest: Path) -> list[Array]:
    return [read_audio(utterance.audio) for utterance in read_manifest(parity_manifest)]


def errors_by_chunk(
    nemo: NemoStreamer, artifact: Transcriber, samples: Array
) -> tuple[ReferenceUtterance, list[float]]:
    """What NeMo says, once the artifact said the same, and their encoders' distance per chunk."""
    expected, found = nemo.run(samples), trace.run(artifact, samples)
    assert [token.id for token in found.tokens] == expected.tokens
    assert [token.frame for token in found.tokens] == expected.token_frames
    errors = []
    for ours, theirs in zip(found.chunks, expected.chunks, strict=True):
        assert ours.shape == theirs.shape
        errors.append(float(np.abs(ours - theirs).max(initial=0)))
    return expected, errors


@pytest.mark.parametrize("chunks", [1, 2, 3])
@pytest.mark.parametrize("end", [0, CHUNK - 7 * HOP])
def test_speech_cut_off_around_the_end_of_a_chunk(
    chunks: int, end: int, nemo: NemoStreamer, artifact: Transcriber, clips: list[Array]
) -> None:
    """At whole chunks of samples, and where the last mel frame of a chunk is the last there is."""
    speech = clips[0][SECOND // 2 :]
    for length in (CHUNK * chunks - end + by for by in (-1, 0, 1)):
        _, errors = errors_by_chunk(nemo, artifact, speech[:length])
        assert max(errors) < ROUNDING


@pytest.mark.parametrize("length", [1, HOP - 1, 200, 400, 8 * HOP - 1, 8 * HOP])
def test_speech_shorter_than_a_frame(
    length: int, nemo: NemoStreamer, artifact: Transcriber, clips: list[Array]
) -> None:
    """Of mel, 10 ms apart and 25 ms long, and of the encoder, 80 ms."""
    _, errors = errors_by_chunk(nemo, artifact, clips[0][SECOND : SECOND + length])
    assert len(errors) == 1
    assert errors[0] < ROUNDING


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.0, 1e-3], ids=["zeros", "-60 dB"])
def test_silence_stays_silent(level: float, nemo: NemoStreamer, artifact: Transcriber) -> None:
    noise = np.random.default_rng(0).normal(size=20 * SECOND) * level
    expected, errors = errors_by_chunk(nemo, artifact, noise.astype(np.float32))
    assert expected.tokens == []
    assert max(errors) < ROUNDING


@pytest.mark.slow
@pytest.mark.parametrize("silence", [HOP // 2, SECOND // 10, CHUNK, 7 * SECOND])
def test_speech_after_silence(
    silence: int, nemo: NemoStreamer, artifact: Transcriber, clips: list[Array]
) -> None:
    """From less than a hop to more than the caches hold."""
    samples = np.concatenate([np.zeros(silence, np.float32), clips[3]])
    expected, errors = errors_by_chunk(nemo, artifact, samples)
    assert len(expected.tokens) > 8
    assert max(errors) < ROUNDING


@pytest.mark.slow
def test_errors_do_not_grow_over_five_minutes(
    nemo: NemoStreamer, artifact: Transcriber, clips: list[Array]
) -> None:
    samples = np.concatenate([*clips, *clips])[: 300 * SECOND]
    expected, errors = errors_by_chunk(nemo, artifact, samples)
    assert len(expected.tokens) > 1500
    assert len(errors) == 536
    minutes = np.split(np.array(errors), np.arange(107, 536, 107))
    assert max(errors) < ROUNDING
    assert minutes[4].mean() < 1.5 * minutes[0].mean()
