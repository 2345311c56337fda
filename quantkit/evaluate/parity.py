"""A candidate against the PyTorch reference: one utterance, and all of them summed up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import Any

import kaldialign
import numpy as np
from numpy.typing import NDArray

from quantkit.core.divergence import NEAR_TIE, kl_divergence, margins
from quantkit.evaluate.bootstrap import rate_interval
from quantkit.evaluate.record import Divergence, Record, Reference
from quantkit.runtime import trace
from quantkit.runtime.trace import CandidateUtterance
from quantkit.runtime.transcriber import Transcriber

#: (token, frame) of everything that was emitted.
GreedyPath = Sequence[tuple[int, int]]


def compare_utterance(
    artifact: Transcriber, candidate: CandidateUtterance, reference: Reference
) -> Divergence:
    """Compare what an artifact made of an utterance with the reference.

    Raises:
        ValueError: the encoders disagree on the number of frames: the graphs are of another model.
    """
    expected = np.split(reference.encoded, np.cumsum(reference.chunks)[:-1])
    lengths = [[len(chunk) for chunk in chunks] for chunks in (expected, candidate.chunks)]
    if lengths[0] != lengths[1]:
        raise ValueError(f"frames per chunk differ: reference {lengths[0]}, found {lengths[1]}")
    encoded = np.concatenate([reference.encoded[:0], *candidate.chunks])
    path = list(zip(reference.tokens, reference.token_frames, strict=True))
    own_path = [(token.id, token.frame) for token in candidate.tokens]
    own = trace.log_probabilities(
        artifact.transducer, encoded, reference.tokens, reference.token_frames
    )
    pairs = zip(expected, candidate.chunks, strict=True)
    return Divergence(
        kl=kl_divergence(reference.log_probabilities, own).tolist(),
        encoder_errors=[float(np.abs(a - b).max(initial=0.0)) for a, b in pairs],
        near_tie=parts_at_near_tie(path, own_path, reference.log_probabilities),
    )


def parts_at_near_tie(
    reference: GreedyPath, candidate: GreedyPath, log_probabilities: NDArray[np.floating]
) -> bool:
    """Whether two paths part at a decision of the reference whose margin is below `NEAR_TIE`.

    Args:
        reference: its greedy path.
        candidate: likewise.
        log_probabilities: of the reference, [decisions, V + 1].
    """
    common = 0
    while common < min(len(reference), len(candidate)) and reference[common] == candidate[common]:
        common += 1
    if common == len(reference) == len(candidate):
        return False
    # The earlier of the two next emissions is where one side emitted and the other did not.
    frame = min(path[common][1] for path in (reference, candidate) if common < len(path))
    return bool(margins(log_probabilities)[frame + common] < NEAR_TIE)


def token_distance(reference: Record, candidate: Record) -> int:
    """The token edit distance of two records of one utterance."""
    return _distance(tuple(reference.tokens), tuple(candidate.tokens))


@lru_cache(maxsize=256)
def _distance(reference: tuple[int, ...], candidate: tuple[int, ...]) -> int:
    if reference == candidate:
        return 0
    return int(kaldialign.edit_distance(reference, candidate)["total"])


def largest_by_chunk(divergences: Iterable[Divergence]) -> list[float]:
    """The largest encoder error of each chunk; an utterance that has ended has none."""
    errors = (divergence.encoder_errors for divergence in divergences)
    return [max(chunk) for chunk in zip_longest(*errors, fillvalue=0.0)]


def summarize(
    names: tuple[str, str], references: Sequence[Record], candidates: Sequence[Record]
) -> dict[str, Any]:
    """The content of parity.json, whose keys scripts read; what was not measured is null.

    Args:
        names: of the reference and of the candidate.
        references: of each utterance, as evaluated.
        candidates: of the same utterances; distributions are compared where they have a divergence.
    """
    pairs = list(zip(references, candidates, strict=True))
    errors = [token_distance(reference, candidate) for reference, candidate in pairs]
    tokens = sum(len(reference.tokens) for reference in references)
    deep = [record.divergence for record in candidates if record.divergence is not None]
    tied = [r.divergence is not None and r.divergence.near_tie for r in candidates]
    by_chunk = largest_by_chunk(deep)
    decisions = sum(len(divergence.kl) for divergence in deep)
    return {
        "reference": names[0],
        "candidate": names[1],
        "utterances": len(pairs),
        "token_exact_utterances": errors.count(0),
        "frame_exact_utterances": sum(
            (a.tokens, a.frames) == (b.tokens, b.frames) for a, b in pairs
        ),
        "reference_tokens": tokens,
        "token_errors": sum(errors),
        "token_error_rate": sum(errors) / tokens if tokens else None,
        "near_tie_errors": sum(count for count, tie in zip(errors, tied, strict=True) if tie),
        "encoder_max_abs_error": max(by_chunk, default=None),
        "encoder_max_abs_error_by_chunk": by_chunk,
        "decisions": decisions,
        "kl": _kl(deep) if decisions else None,
        "wer": _wer(pairs),
    }


def _kl(divergences: Sequence[Divergence]) -> dict[str, float]:
    by_utterance = [np.array(divergence.kl) for divergence in divergences]
    low, high = rate_interval([kl.sum() for kl in by_utterance], [len(kl) for kl in by_utterance])
    kl = np.concatenate(by_utterance)
    return {
        "mean": float(kl.mean()),
        "mean_low": low,
        "mean_high": high,
        "p99": float(np.quantile(kl, 0.99)),
        "max": float(kl.max()),
    }


def _wer(pairs: Sequence[tuple[Record, Record]]) -> dict[str, float | int] | None:
    scored = [(a.words, b.words) for a, b in pairs if a.words is not None and b.words is not None]
    words = sum(a.words for a, _ in scored)
    if not words:
        return None
    reference, candidate = sum(a.total for a, _ in scored), sum(b.total for _, b in scored)
    low, high = rate_interval([b.total - a.total for a, b in scored], [a.words for a, _ in scored])
    return {
        "reference": reference / words,
        "candidate": candidate / words,
        "words": words,
        "difference": (candidate - reference) / words,
        "difference_low": low,
        "difference_high": high,
    }
