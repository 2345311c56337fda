"""NeMo's modes on the demo model: the same speech, streamed, in windows and at once."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nemo.collections.asr.models import EncDecRNNTBPEModel

from quantkit.core.errors import InputError
from quantkit.nemo.loading.checkpoint import load_checkpoint
from quantkit.nemo.reference.modes import Array, Decoded, runner
from quantkit.nemo.reference.streaming import NemoStreamer
from quantkit.runtime.audio import read_audio
from quantkit.speech.manifest import read_manifest

OWN_MS, OWN_FRAMES = 1120, 14
"""The chunk of the demo's first context, [70, 13]."""


@pytest.fixture(scope="module")
def model(demo_checkpoint: Path) -> EncDecRNNTBPEModel:
    return load_checkpoint(demo_checkpoint)


@pytest.fixture(scope="module")
def clips(parity_manifest: Path) -> list[Array]:
    return [read_audio(utterance.audio) for utterance in read_manifest(parity_manifest)[:16]]


@pytest.mark.slow
def test_offline_says_what_streaming_at_its_chunk_says(
    model: EncDecRNNTBPEModel, clips: list[Array]
) -> None:
    """In all chunks but the last, where the two count the frames of the end differently."""
    streaming, offline = runner(model, "streaming", OWN_MS), runner(model, "offline", None)
    same = 0
    for clip in clips:
        streamed, whole = streaming(clip), offline(clip)
        last = len(clip) // 160 // 8 // OWN_FRAMES * OWN_FRAMES
        assert before(streamed, last) == before(whole, last)
        assert len(before(whole, last)) >= 5
        same += streamed == whole
    assert same >= len(clips) - 1


def before(decoded: Decoded, frame: int) -> list[tuple[int, int]]:
    """The tokens before a frame."""
    path = zip(decoded.tokens, decoded.token_frames, strict=True)
    return [(token, at) for token, at in path if at < frame]


@pytest.mark.slow
def test_offline_is_nemos_own_transcription(
    model: EncDecRNNTBPEModel, demo_checkpoint: Path, clips: list[Array]
) -> None:
    # `transcribe` leaves a frozen model in training mode, hence one of its own.
    transcriber = load_checkpoint(demo_checkpoint)
    offline, longer = runner(model, "offline", None), runner(model, "chunked", 60_000)
    for clip in clips[:4]:
        found = offline(clip)
        transcriber.eval()
        [expected] = transcriber.transcribe([clip], return_hypotheses=True, verbose=False)
        assert found.tokens == expected.y_sequence.tolist()
        assert found.token_frames == expected.timestamp.tolist()
        assert found.text == expected.text
        assert longer(clip) == found, "one window that holds all of it"


@pytest.mark.slow
def test_all_context_hears_other_words(model: EncDecRNNTBPEModel, clips: list[Array]) -> None:
    own, full = (runner(model, "offline", None, full_context=full) for full in (False, True))
    assert sum(own(clip).tokens != full(clip).tokens for clip in clips[:6]) >= 3


def test_windows_are_utterances_of_their_own(model: EncDecRNNTBPEModel, clips: list[Array]) -> None:
    clip = clips[2]
    offline, chunked = runner(model, "offline", None), runner(model, "chunked", 1200)
    windows = [offline(clip[start : start + 19_200]) for start in range(0, len(clip), 19_200)]
    found = chunked(clip)
    assert len(windows) > 3
    assert found.tokens == [token for window in windows for token in window.tokens]
    expected = [15 * i + frame for i, window in enumerate(windows) for frame in window.token_frames]
    assert found.token_frames == expected
    assert all(a <= b for a, b in pairwise(found.token_frames))
    assert found.text == model.tokenizer.ids_to_text(found.tokens)


@pytest.mark.slow
def test_runs_of_one_model_do_not_disturb_each_other(
    model: EncDecRNNTBPEModel, clips: list[Array]
) -> None:
    clip = clips[5]
    small = NemoStreamer(model, 70, 0)
    modes: list[Any] = [
        runner(model, "streaming", 560),
        runner(model, "offline", None, full_context=True),
        lambda samples: small.run(samples).tokens,
        runner(model, "chunked", 560),
        runner(model, "offline", None),
        runner(model, "streaming", OWN_MS),
    ]
    first = [run(clip) for run in modes]
    assert len({str(found) for found in first}) >= 5
    assert [run(clip) for run in reversed(modes)] == first[::-1]


@pytest.mark.parametrize("samples", [0, 1, 159, 1279])
def test_next_to_nothing_is_heard_as_nothing(model: EncDecRNNTBPEModel, samples: int) -> None:
    silence = np.zeros(samples, np.float32)
    for run in (
        runner(model, "streaming", 80),
        runner(model, "chunked", 80),
        runner(model, "offline", None),
    ):
        assert run(silence) == Decoded([], [], "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "streaming", "chunk_ms": 100}, "found 100; accepted: 80, 160, 560, 1120"),
        ({"mode": "chunked", "chunk_ms": 100}, "found 100; accepted .* multiples of 80"),
        ({"mode": "chunked", "chunk_ms": 0}, "found 0; accepted .* multiples of 80"),
        ({"mode": "streaming", "chunk_ms": None}, "found None for mode streaming"),
        ({"mode": "offline", "chunk_ms": 560}, "found 560 for mode offline; accepted: none"),
        ({"mode": "streaming", "chunk_ms": 560, "full_context": True}, "full_context: accepted in"),
    ],
)
def test_options_that_a_mode_cannot_take_are_refused(
    model: EncDecRNNTBPEModel, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        runner(model, **options)
