"""Word errors, scored as the Open ASR leaderboard does."""

from __future__ import annotations

from functools import cache

import kaldialign
from whisper_normalizer.english import EnglishTextNormalizer


def word_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """Word edit distance and number of reference words, after normalisation."""
    expected, found = words(reference), words(hypothesis)
    return int(kaldialign.edit_distance(expected, found)["total"]), len(expected)


def words(text: str) -> list[str]:
    """The words that are scored: lower case, without punctuation, numbers in one form."""
    return str(_normalizer()(text)).split()


@cache
def _normalizer() -> EnglishTextNormalizer:
    return EnglishTextNormalizer()
