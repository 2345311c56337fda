"""The reference is what NeMo says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from quantkit.nemo.loading.checkpoint import load_checkpoint
from quantkit.nemo.reference.streaming import NemoStreamer, one_thread
from quantkit.runtime.audio import read_audio
from quantkit.runtime.decoders.greedy import greedy_path
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


def test_arrays_hold_every_chunk_and_decision(
    streamer: NemoStreamer, parity_manifest: Path
) -> None:
    said = streamer.run(read_audio(read_manifest(parity_manifest)[2].audio))
    arrays = streamer.arrays(said)
    frames = int(arrays["chunks"].sum())
    assert frames > 6
    assert len(arrays["encoded"]) == frames
    assert len(arrays["log_probabilities"]) == frames + len(said.tokens)


def test_in_one_thread_nothing_depends_on_the_threads_of_the_process(
    streamer: NemoStreamer, parity_manifest: Path
) -> None:
    samples = read_audio(read_manifest(parity_manifest)[0].audio)
    threads, found = torch.get_num_threads(), []
    for number in (1, 2):
        torch.set_num_threads(number)
        try:
            with one_thread():
                found.append(streamer.arrays(streamer.run(samples)))
            assert torch.get_num_threads() == number
        finally:
            torch.set_num_threads(threads)
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])


def test_greedy_path_of_a_small_example() -> None:
    rows, states = greedy_path(4, [1, 1, 3])
    assert rows.tolist() == [0, 1, 1, 1, 2, 3, 3]
    assert states.tolist() == [0, 0, 1, 2, 2, 2, 3]


def test_greedy_path_of_silence() -> None:
    rows, states = greedy_path(3, [])
    assert rows.tolist() == [0, 1, 2]
    assert states.tolist() == [0, 0, 0]
