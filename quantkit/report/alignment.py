"""What was said above what PyTorch and a scheme decoded, word by word."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from quantkit.report.schema import AlignedWord, Worst

Mark = Literal["same", "other", "added", "missing"]


@dataclass(frozen=True)
class Heard:
    """A decoded word, or the gap where one was said, and how it compares with what was said."""

    word: str
    mark: Mark


@dataclass(frozen=True)
class Place:
    """One place of the text: a word that was said, or an empty one where words were added."""

    said: str
    reference: Heard
    scheme: Heard


def places(worst: Worst) -> list[Place]:
    """Both alignments of an utterance in one; words that both added share places."""
    merged = []
    reference, scheme = _slots(worst.reference_alignment), _slots(worst.scheme_alignment)
    for (said, one, added_one), (_, other, added_other) in zip(reference, scheme, strict=True):
        merged += [
            Place("", _heard("", a), _heard("", b))
            for a, b in zip_longest(added_one, added_other, fillvalue="")
        ]
        if said:
            merged.append(Place(said, _heard(said, one), _heard(said, other)))
    return merged


def sentence(words: list[AlignedWord]) -> str:
    """What was decoded, as plain text."""
    return " ".join(word.decoded for word in words if word.decoded)


def _slots(alignment: list[AlignedWord]) -> list[tuple[str, str, list[str]]]:
    """Each said word, what was decoded for it, and the words added before it; the end last."""
    slots: list[tuple[str, str, list[str]]] = []
    added: list[str] = []
    for word in alignment:
        if word.said:
            slots.append((word.said, word.decoded, added))
            added = []
        else:
            added.append(word.decoded)
    return [*slots, ("", "", added)]


def _heard(said: str, decoded: str) -> Heard:
    if said == decoded:
        return Heard(decoded, "same")
    if not said:
        return Heard(decoded, "added")
    return Heard(decoded, "other" if decoded else "missing")
