"""Word errors, scored as the Open ASR leaderboard does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import kaldialign
from whisper_normalizer.english import EnglishTextNormalizer


@dataclass(frozen=True)
class WordErrors:
    """Errors against the text, after normalization; `words` is the number of words in the text."""

    substitutions: int
    deletions: int
    insertions: int
    words: int

    @property
    def total(self) -> int:
        """The word edit distance."""
        return self.substitutions + self.deletions + self.insertions


def word_errors(reference: str, hypothesis: str) -> WordErrors:
    """The fewest word errors that make the hypothesis of the reference, after normalization."""
    expected = words(reference)
    found = kaldialign.edit_distance(expected, words(hypothesis))
    return WordErrors(found["sub"], found["del"], found["ins"], len(expected))


def words(text: str) -> list[str]:
    """The words that are scored: lower case, without punctuation, numbers in one form."""
    return str(_normalizer()(text)).split()


@cache
def _normalizer() -> EnglishTextNormalizer:
    return EnglishTextNormalizer()
