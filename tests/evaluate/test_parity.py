"""Counting of errors, near ties and words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quantkit.core.divergence import log_softmax
from quantkit.evaluate.parity import parts_at_near_tie, summarize, token_distance
from quantkit.evaluate.record import Divergence, Record
from quantkit.evaluate.words import WordErrors, word_errors

Path = list[tuple[int, int]]

#: Four frames; blank is 3.
REFERENCE = [(1, 1), (2, 3)]
CHOICES = [3, 1, 3, 3, 2, 3]


def record(path: Path, divergence: Divergence | None = None) -> Record:
    tokens, frames = [token for token, _ in path], [frame for _, frame in path]
    return Record("digest", tokens, frames, "", None, divergence)


def near_tie(candidate: Path, margin: float) -> bool:
    logits = np.zeros((6, 4), dtype=np.float32)
    logits[np.arange(6), CHOICES] = margin
    return parts_at_near_tie(REFERENCE, candidate, log_softmax(logits))


def summary(*candidates: Record) -> dict[str, Any]:
    return summarize(("reference", "candidate"), [record(REFERENCE)] * len(candidates), candidates)


def test_equal_paths_are_exact() -> None:
    found = summary(record(REFERENCE))
    assert found["token_exact_utterances"] == found["frame_exact_utterances"] == 1
    assert found["token_errors"] == 0
    assert not near_tie(REFERENCE, 5.0)


def test_a_late_token_is_exact_in_tokens_only() -> None:
    found = summary(record([(1, 2), (2, 3)]))
    assert (found["token_exact_utterances"], found["frame_exact_utterances"]) == (1, 0)


@pytest.mark.parametrize(
    ("candidate", "errors"),
    [([(1, 1)], 1), ([], 2), ([(1, 1), (0, 3)], 1), ([(1, 1), (0, 2), (2, 3)], 1)],
)
def test_errors_are_the_edit_distance(candidate: Path, errors: int) -> None:
    assert token_distance(record(REFERENCE), record(candidate)) == errors
    assert not near_tie(candidate, 5.0)


def test_a_difference_at_a_tie_of_the_reference_is_told_apart() -> None:
    assert near_tie([(1, 1)], 1e-5)
    assert not near_tie([(1, 1)], 0.1)


def test_the_summary_adds_up() -> None:
    exact = record(REFERENCE, Divergence([0.0] * 6, [0.5, 0.25], near_tie=False))
    wrong = record([(1, 1)], Divergence([0.3] * 6, [0.25], near_tie=True))
    shallow = record([(1, 1)])
    found = summary(exact, wrong, shallow)
    assert found["utterances"] == 3
    assert found["token_exact_utterances"] == 1
    assert found["reference_tokens"] == 6
    assert found["token_errors"] == 2
    assert found["near_tie_errors"] == 1
    assert found["token_error_rate"] == 2 / 6
    assert found["encoder_max_abs_error"] == 0.5
    assert found["encoder_max_abs_error_by_chunk"] == [0.5, 0.25]
    assert found["decisions"] == 12
    assert found["kl"]["mean"] == pytest.approx(0.15)
    assert (found["kl"]["p99"], found["kl"]["max"]) == (0.3, 0.3)
    assert found["wer"] is None


def test_word_errors_are_compared_in_pairs() -> None:
    def scored(*errors: int) -> list[Record]:
        words = [WordErrors(count, 0, 0, words=10) for count in errors]
        return [replace(record(REFERENCE), words=found) for found in words]

    wer = summarize(("reference", "candidate"), scored(2, 5), scored(3, 6))["wer"]
    assert (wer["reference"], wer["candidate"], wer["words"]) == (0.35, 0.45, 20)
    assert [wer[f"difference{end}"] for end in ("", "_low", "_high")] == pytest.approx([0.1] * 3)


def test_nothing_measured_is_null_not_zero() -> None:
    found = summary()
    assert found["kl"] is found["encoder_max_abs_error"] is found["token_error_rate"] is None


def test_words_are_scored_normalized() -> None:
    assert word_errors("Hello, World!", "hello world") == WordErrors(0, 0, 0, words=2)
    found = word_errors("the big cat", "the pig cat too")
    assert found == WordErrors(substitutions=1, deletions=0, insertions=1, words=3)
    assert found.total == 2
    assert word_errors("one moment", "") == WordErrors(0, 2, 0, words=2)
