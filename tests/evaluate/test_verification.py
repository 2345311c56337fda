"""Verification is an evaluation of one set; its numbers are those of NeMo and the runtime alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import kaldialign
import numpy as np
import pytest
import soundfile

from quantkit.calibrate.sensitivity.reference import float_utterances
from quantkit.core.divergence import kl_divergence
from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.evaluate.verification import verify_on_manifest
from quantkit.nemo.loading.checkpoint import load_checkpoint
from quantkit.nemo.reference.streaming import NemoStreamer, one_thread
from quantkit.runtime import trace
from quantkit.runtime.audio import read_audio
from quantkit.runtime.transcriber import Transcriber
from quantkit.speech.manifest import Recording, Segment, read_manifest
from tests.evaluate.conftest import tree

pytestmark = pytest.mark.slow

RATE = 16_000


def write_manifest(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_numbers_are_those_of_nemo_and_the_runtime(
    pytorch, int4, demo_checkpoint, parity_manifest, tmp_path
) -> None:
    clips = read_manifest(parity_manifest)[:3]
    lines = [{"audio": str(clip.audio)} for clip in clips]
    manifest = write_manifest(tmp_path / "speech.jsonl", lines)
    parity = verify_on_manifest(int4.model, pytorch, manifest, tmp_path, Silent())

    streamer = NemoStreamer(load_checkpoint(demo_checkpoint), 70, 6)
    artifact = Transcriber.load(int4.model)
    errors, tokens, kl, encoder = 0, 0, [], []
    for clip in clips:
        samples = read_audio(clip.audio, RATE)
        with one_thread():
            said = streamer.run(samples)
            wanted = streamer.log_probabilities(
                np.concatenate(said.chunks), said.tokens, said.token_frames
            )
        candidate = trace.run(artifact, samples)
        own = [token.id for token in candidate.tokens]
        errors += kaldialign.edit_distance(said.tokens, own)["total"]
        tokens += len(said.tokens)
        encoded = np.concatenate(candidate.chunks)
        found = trace.log_probabilities(
            artifact.transducer, encoded, said.tokens, said.token_frames
        )
        kl += kl_divergence(wanted, found).tolist()
        encoder.append(float(np.abs(encoded - np.concatenate(said.chunks)).max()))
    assert (parity["token_errors"], parity["reference_tokens"]) == (errors, tokens)
    assert parity["decisions"] == len(kl)
    assert parity["kl"]["mean"] == pytest.approx(np.mean(kl), rel=1e-3)
    assert parity["kl"]["max"] == pytest.approx(max(kl), rel=1e-3)
    assert parity["kl"]["mean"] > 1e-4, "4 bits changed nothing"
    assert parity["encoder_max_abs_error"] == pytest.approx(max(encoder), rel=1e-3)
    assert parity["wer"] is None


def test_what_a_verification_heard_is_not_evaluated_again(
    pytorch, int4, parity_manifest, tmp_path
) -> None:
    clips = [{"audio": str(clip.audio)} for clip in read_manifest(parity_manifest)[:2]]
    manifest = write_manifest(tmp_path / "speech.jsonl", clips)
    first = verify_on_manifest(int4.model, pytorch, manifest, tmp_path / "store", Silent())
    before = tree(tmp_path / "store")
    assert len([name for name in before if name.endswith(".npz")]) == 2
    second = verify_on_manifest(int4.model, pytorch, manifest, tmp_path / "store", Silent())
    assert (second, tree(tmp_path / "store")) == (first, before)


def test_a_recording_that_cannot_be_used_is_named(pytorch, fp32, tmp_path) -> None:
    (tmp_path / "noise.flac").write_bytes(b"no audio")
    manifest = write_manifest(tmp_path / "speech.jsonl", [{"audio": "noise.flac"}])
    with pytest.raises(InputError, match=re.escape(f"{manifest}: noise.flac: ")):
        verify_on_manifest(fp32.model, pytorch, manifest, tmp_path, Silent())


def test_parts_of_a_call_are_what_their_own_files_are(
    pytorch, fp32, parity_manifest: Path, tmp_path: Path
) -> None:
    speech = [
        (clip.text, read_audio(clip.audio, RATE)) for clip in read_manifest(parity_manifest)[:2]
    ]
    call = np.concatenate([samples for _, samples in speech])
    soundfile.write(tmp_path / "call.wav", call, RATE, subtype="PCM_16")
    parts: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    offset = 0.0
    for number, (text, samples) in enumerate(speech):
        soundfile.write(tmp_path / f"{number}.wav", samples, RATE, subtype="PCM_16")
        # A thousandth of a sample more, for what a float loses.
        seconds = (len(samples) + 1e-3) / RATE
        part = {"audio_filepath": "call.wav", "offset": offset, "duration": seconds, "text": text}
        parts.append(part)
        files.append({"audio": f"{number}.wav", "text": text})
        offset += seconds
    found = []
    for name, lines in (("parts", parts), ("files", files)):
        manifest = write_manifest(tmp_path / f"{name}.jsonl", lines)
        store = tmp_path / name  # so that nothing is found again
        found.append(verify_on_manifest(fp32.model, pytorch, manifest, store, Silent()))
    assert found[0] == found[1]
    assert found[0]["reference_tokens"] > 10
    assert found[0]["wer"]["reference"] < 1

    second = Segment(tmp_path / "call.wav", parts[1]["offset"], parts[1]["duration"])
    recordings: list[Recording] = [second, tmp_path / "1.wav"]
    alone, other = float_utterances(fp32.model, recordings, Silent())
    np.testing.assert_array_equal(alone.encoded, other.encoded)
