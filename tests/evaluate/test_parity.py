"""Counting of errors, near ties and words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantkit.core.divergence import log_softmax
from quantkit.evaluate.parity import ParitySummary, UtteranceParity, compare
from quantkit.evaluate.words import WordErrors, word_errors


def parity(
    candidate: list[tuple[int, int]], *, margin: float = 5.0, shift: float = 0.0
) -> UtteranceParity:
    """Four frames, reference path: token 1 at frame 1, token 2 at frame 3; blank is 3."""
    reference = [(1, 1), (2, 3)]
    choices = [3, 1, 3, 3, 2, 3]
    logits = np.zeros((6, 4), dtype=np.float32)
    logits[np.arange(6), choices] = margin
    chunks = [np.zeros((2, 5), dtype=np.float32)] * 2
    return compare(
        reference, candidate, chunks, [c + np.float32(shift) for c in chunks],
        log_softmax(logits), log_softmax(logits + np.float32(0)),
    )  # fmt: skip


def test_equal_paths_are_exact() -> None:
    found = parity([(1, 1), (2, 3)])
    assert found.tokens_exact
    assert found.frames_exact
    assert found.token_errors == 0
    assert not found.near_tie


def test_a_late_token_is_exact_in_tokens_only() -> None:
    found = parity([(1, 2), (2, 3)])
    assert found.tokens_exact
    assert not found.frames_exact


@pytest.mark.parametrize(
    ("candidate", "errors"),
    [([(1, 1)], 1), ([], 2), ([(1, 1), (0, 3)], 1), ([(1, 1), (0, 2), (2, 3)], 1)],
)
def test_errors_are_the_edit_distance(candidate: list[tuple[int, int]], errors: int) -> None:
    found = parity(candidate)
    assert found.token_errors == errors
    assert not found.near_tie


def test_a_difference_at_a_tie_of_the_reference_is_told_apart() -> None:
    assert parity([(1, 1)], margin=1e-5).near_tie
    assert not parity([(1, 1)], margin=0.1).near_tie


def test_encoders_with_other_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="frames per chunk differ"):
        compare([], [], [np.zeros((2, 1), np.float32)], [np.zeros((3, 1), np.float32)],
                np.zeros((2, 2)), np.zeros((2, 2)))  # fmt: skip


def test_the_summary_adds_up() -> None:
    summary = ParitySummary("reference", "candidate")
    summary.parities += [parity([(1, 1), (2, 3)], shift=0.5), parity([(1, 1)], margin=1e-5)]
    found = summary.as_json()
    assert found["utterances"] == 2
    assert found["token_exact_utterances"] == 1
    assert found["reference_tokens"] == 4
    assert found["token_errors"] == found["near_tie_errors"] == 1
    assert found["token_error_rate"] == 0.25
    assert found["encoder_max_abs_error_by_chunk"] == [0.5, 0.5]
    assert found["decisions"] == 12
    assert found["wer"] is None


def test_word_errors_are_compared_in_pairs() -> None:
    summary = ParitySummary("reference", "candidate")
    one, other = parity([(1, 1), (2, 3)]), parity([(1, 1)])
    summary.parities += [replace(one, words=(2, 3, 10)), replace(other, words=(5, 6, 10))]
    wer = summary.as_json()["wer"]
    assert (wer["reference"], wer["candidate"], wer["words"]) == (0.35, 0.45, 20)
    assert [wer[f"difference{end}"] for end in ("", "_low", "_high")] == pytest.approx([0.1] * 3)


def test_nothing_measured_is_null_not_zero() -> None:
    found = ParitySummary("reference", "candidate").as_json()
    assert found["kl"] is found["encoder_max_abs_error"] is found["token_error_rate"] is None


def test_words_are_scored_normalised() -> None:
    assert word_errors("Hello, World!", "hello world") == WordErrors(0, 0, 0, words=2)
    found = word_errors("the big cat", "the pig cat too")
    assert found == WordErrors(substitutions=1, deletions=0, insertions=1, words=3)
    assert found.total == 2
    assert word_errors("one moment", "") == WordErrors(0, 2, 0, words=2)
