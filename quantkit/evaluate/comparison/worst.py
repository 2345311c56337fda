"""The utterances that a scheme hurt most."""

from __future__ import annotations

from collections.abc import Sequence

import kaldialign
import numpy as np

from quantkit.evaluate.comparison.evaluated import Evaluated
from quantkit.evaluate.comparison.rows import ReportRow
from quantkit.evaluate.words import words
from quantkit.report.schema import AlignedWord, Worst

WORST = 20


def worst_utterances(evaluated: Evaluated, rows: Sequence[ReportRow]) -> list[Worst]:
    """Where word errors rose most over PyTorch in chunks of the same length, most first.

    An utterance appears once, with the row that it rose most in, the first of equals. Of equal
    rises the larger share of the utterance's words comes first, then set and id decide.
    """
    chains = [row.chain for row in rows if row.role != "pytorch"]
    if not chains:
        return []
    errors = evaluated.word_errors
    rises = np.array([errors[chain[-1]] - errors[chain[0]] for chain in chains])
    chosen, most = rises.argmax(axis=0), rises.max(axis=0)
    share = most / np.maximum(evaluated.words, 1)

    def rank(index: int) -> tuple[float, float, str, str]:
        utterance = evaluated.utterances[index]
        return -most[index], -share[index], utterance.set_name, utterance.id

    ranked = sorted(np.flatnonzero(most > 0).tolist(), key=rank)[:WORST]
    return [_worst(evaluated, chains[chosen[index]], index) for index in ranked]


def _worst(evaluated: Evaluated, chain: Sequence[str], index: int) -> Worst:
    utterance = evaluated.utterances[index]
    reference, scheme = (evaluated.records[name][index] for name in (chain[0], chain[-1]))
    return Worst(
        set=utterance.set_name,
        id=utterance.id,
        digest=utterance.digest,
        duration_s=utterance.duration_s,
        scheme=chain[-1],
        word_errors=int(evaluated.word_errors[chain[-1]][index]),
        reference_word_errors=int(evaluated.word_errors[chain[0]][index]),
        words=int(evaluated.words[index]),
        scheme_alignment=align(utterance.text or "", scheme.text),
        reference_alignment=align(utterance.text or "", reference.text),
    )


def align(said: str, decoded: str) -> list[AlignedWord]:
    """The scored words of both, one below the other with the fewest errors."""
    pairs = kaldialign.align(words(said), words(decoded), "")
    return [AlignedWord(said=word, decoded=other) for word, other in pairs]
