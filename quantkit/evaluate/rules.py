"""Which utterances are not evaluated, as the Open ASR leaderboard has it and by what is wrong."""

from __future__ import annotations

from quantkit.evaluate.words import words
from quantkit.recipe.language import is_language
from quantkit.speech.cache import Unusable
from quantkit.speech.source import Row

#: The text of segments that TED-LIUM tells to leave out, after normalisation.
_IGNORED = "ignore time segment in scoring"


def exclusion(row: Row, language: str) -> str | None:
    """Why a row is not evaluated in a suite of this language; None if it is."""
    if isinstance(row.speech, Unusable):
        return row.speech.reason
    if row.language and not is_language(row.language, language):
        return f"its language is {row.language!r}, the suite's is {language!r}"
    if row.text is None:
        return "it has no text"
    said = " ".join(words(row.text))
    if not said:
        return "nothing is left of its text after normalisation"
    return "its text says to ignore it in scoring" if said == _IGNORED else None
