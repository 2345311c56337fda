"""Two alignments of one text in one."""

from __future__ import annotations

import kaldialign
from hypothesis import given
from hypothesis import strategies as st

from quantkit.report.alignment import Heard, Place, places, sentence
from quantkit.report.schema import AlignedWord, Worst


def heard(said: list[str], reference: list[str], scheme: list[str]) -> Worst:
    def align(decoded: list[str]) -> list[AlignedWord]:
        return [AlignedWord(said=a, decoded=b) for a, b in kaldialign.align(said, decoded, "")]

    return Worst(
        set="prompts",
        id="clip",
        digest="0",
        duration_s=1.0,
        scheme="int4",
        word_errors=0,
        reference_word_errors=0,
        words=len(said),
        scheme_alignment=align(scheme),
        reference_alignment=align(reference),
    )


def test_words_stand_below_each_other() -> None:
    worst = heard(["press", "the", "key"], ["press", "a", "key", "now"], ["the", "key"])
    assert places(worst) == [
        Place("press", Heard("press", "same"), Heard("", "missing")),
        Place("the", Heard("a", "other"), Heard("the", "same")),
        Place("key", Heard("key", "same"), Heard("key", "same")),
        Place("", Heard("now", "added"), Heard("", "same")),
    ]


WORDS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=8)


@given(WORDS, WORDS, WORDS)
def test_nothing_is_lost_or_turned_around(
    said: list[str], reference: list[str], scheme: list[str]
) -> None:
    worst = heard(said, reference, scheme)
    merged = places(worst)
    assert [place.said for place in merged if place.said] == said
    assert [place.reference.word for place in merged if place.reference.word] == reference
    assert [place.scheme.word for place in merged if place.scheme.word] == scheme
    assert sentence(worst.scheme_alignment).split() == scheme
