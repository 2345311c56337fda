"""The recorded reference is what NeMo says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from quantkit.core.progress import Silent
from quantkit.nemo.loading.checkpoint import load_checkpoint
from quantkit.nemo.reference.record import record_reference
from quantkit.nemo.reference.streaming import NemoStreamer
from quantkit.runtime.audio import read_audio
from quantkit.runtime.decoders.path import greedy_path
from quantkit.speech.manifest import read_manifest


@pytest.fixture(scope="module")
def streamer(demo_checkpoint: Path) -> NemoStreamer:
    return NemoStreamer(load_checkpoint(demo_checkpoint), 70, 6)


def test_tokens_are_those_of_nemo_transcribing_offline_in_the_same_context(
    streamer: NemoStreamer, parity_manifest: Path
) -> None:
    """Cache-aware streaming equals NeMo's whole-file pass up to the frame that streaming adds."""
    samples = read_audio(read_manifest(parity_manifest)[0].audio)
    found = streamer.run(samples)
    model = streamer.model
    with torch.inference_mode():
        features, length = model.preprocessor(
            input_signal=torch.from_numpy(samples)[None], length=torch.tensor([len(samples)])
        )
        encoded, frames = model.encoder(audio_signal=features, length=length)
    offline = encoded[0, :, : int(frames)].T.numpy()
    streamed = np.concatenate(found.chunks)[: len(offline) - 1]
    np.testing.assert_allclose(streamed, offline[: len(streamed)], atol=1e-4, rtol=0)


def test_teacher_forcing_follows_the_greedy_path(
    streamer: NemoStreamer, parity_manifest: Path
) -> None:
    """Along its own path the reference's best symbols are its tokens and blanks."""
    found = streamer.run(read_audio(read_manifest(parity_manifest)[1].audio))
    encoded = np.concatenate(found.chunks)
    rows = streamer.log_probabilities(encoded, found.tokens, found.token_frames)
    assert rows.shape == (
        len(encoded) + len(found.tokens),
        streamer.model.joint.num_classes_with_blank,
    )
    np.testing.assert_allclose(np.exp(rows).sum(axis=1), 1, atol=1e-4)
    blank = streamer.model.decoder.blank_idx
    assert [s for s in rows.argmax(axis=1) if s != blank] == found.tokens


@pytest.fixture
def three(parity_manifest: Path, tmp_path: Path) -> Path:
    """A manifest of three utterances."""
    manifest = tmp_path / "three.jsonl"
    rows = [json.loads(line) for line in parity_manifest.read_text().splitlines()[:3]]
    for row in rows:
        row["audio"] = str(parity_manifest.parent / row["audio"])
    manifest.write_text("\n".join(json.dumps(row) for row in rows))
    return manifest


def test_the_record_holds_every_utterance(
    demo_checkpoint: Path, three: Path, tmp_path: Path
) -> None:
    out = tmp_path / "reference"
    out.mkdir()
    record_reference(demo_checkpoint, 1120, three, out, Silent())
    recorded = json.loads((out / "reference.json").read_text())
    assert len(recorded) == 3
    for index, row in enumerate(recorded):
        with np.load(out / f"{index:05}.npz") as arrays:
            frames = int(arrays["chunks"].sum())
            assert len(arrays["encoded"]) == frames
            assert len(arrays["log_probabilities"]) == frames + len(row["tokens"])


def test_the_record_does_not_depend_on_the_threads_of_the_process(
    demo_checkpoint: Path, three: Path, tmp_path: Path
) -> None:
    threads, found = torch.get_num_threads(), []
    for number in (1, 2):
        out = tmp_path / f"{number}"
        out.mkdir()
        torch.set_num_threads(number)
        try:
            record_reference(demo_checkpoint, 1120, three, out, Silent())
        finally:
            torch.set_num_threads(threads)
        found.append([path.read_bytes() for path in sorted(out.glob("*.npz"))])
    assert len(found[0]) == 3
    assert found[0] == found[1]


def test_greedy_path_of_a_small_example() -> None:
    rows, states = greedy_path(4, [1, 1, 3])
    assert rows.tolist() == [0, 1, 1, 1, 2, 3, 3]
    assert states.tolist() == [0, 0, 1, 2, 2, 2, 3]


def test_greedy_path_of_silence() -> None:
    rows, states = greedy_path(3, [])
    assert rows.tolist() == [0, 1, 2]
    assert states.tolist() == [0, 0, 0]
