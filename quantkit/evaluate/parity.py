"""Compare one artifact with the reference, utterance by utterance, and sum up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import kaldialign
import numpy as np
from numpy.typing import NDArray

from quantkit.core.divergence import NEAR_TIE, kl_divergence, margins
from quantkit.evaluate.bootstrap import rate_interval

Array = NDArray[np.float32]
Path = list[tuple[int, int]]
"""A greedy path: (token, frame) of everything emitted."""


@dataclass(frozen=True)
class UtteranceParity:
    """How one utterance compares; `kl` holds one value for every decision of the reference."""

    reference_tokens: int
    token_errors: int
    tokens_exact: bool
    frames_exact: bool
    near_tie: bool
    """The first difference falls on a decision that the reference itself barely made."""
    encoder_errors: list[float]
    kl: NDArray[np.float64]
    words: tuple[int, int, int] | None = None
    """Word errors of the reference, of the candidate, and words, where the text is known."""


def compare(
    reference_path: Path,
    candidate_path: Path,
    reference_chunks: Sequence[Array],
    candidate_chunks: Sequence[Array],
    reference_log_probabilities: NDArray[np.floating],
    candidate_log_probabilities: NDArray[np.floating],
) -> UtteranceParity:
    """Compare an utterance's greedy paths, encodings and teacher-forced distributions.

    Raises:
        ValueError: the encoders disagree on the number of frames, so nothing can be compared.
    """
    lengths = [[len(chunk) for chunk in chunks] for chunks in (reference_chunks, candidate_chunks)]
    if lengths[0] != lengths[1]:
        raise ValueError(f"frames per chunk differ: reference {lengths[0]}, found {lengths[1]}")
    expected = [token for token, _ in reference_path]
    found = [token for token, _ in candidate_path]
    errors = [
        float(np.abs(a - b).max(initial=0.0))
        for a, b in zip(reference_chunks, candidate_chunks, strict=True)
    ]
    return UtteranceParity(
        reference_tokens=len(expected),
        token_errors=int(kaldialign.edit_distance(expected, found)["total"]),
        tokens_exact=expected == found,
        frames_exact=reference_path == candidate_path,
        near_tie=_starts_at_tie(reference_path, candidate_path, reference_log_probabilities),
        encoder_errors=errors,
        kl=kl_divergence(reference_log_probabilities, candidate_log_probabilities),
    )


def _starts_at_tie(
    reference: Path, candidate: Path, log_probabilities: NDArray[np.floating]
) -> bool:
    """Whether the paths part at a reference decision whose margin is below `NEAR_TIE`."""
    common = 0
    while common < min(len(reference), len(candidate)) and reference[common] == candidate[common]:
        common += 1
    if common == len(reference) == len(candidate):
        return False
    # The earlier of the two next emissions is where one side emitted and the other did not.
    frame = min(path[common][1] for path in (reference, candidate) if common < len(path))
    decision = frame + common
    return bool(margins(log_probabilities)[decision] < NEAR_TIE)


@dataclass
class ParitySummary:
    """Collects utterances into the content of parity.json."""

    reference: str
    candidate: str
    parities: list[UtteranceParity] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The stable keys that scripts read; what was not measured is null."""
        parities = self.parities
        tokens = sum(p.reference_tokens for p in parities)
        errors = sum(p.token_errors for p in parities)
        decisions = sum(len(p.kl) for p in parities)
        by_chunk = [
            max(p.encoder_errors[chunk] for p in parities if chunk < len(p.encoder_errors))
            for chunk in range(max((len(p.encoder_errors) for p in parities), default=0))
        ]
        return {
            "reference": self.reference,
            "candidate": self.candidate,
            "utterances": len(parities),
            "token_exact_utterances": sum(p.tokens_exact for p in parities),
            "frame_exact_utterances": sum(p.frames_exact for p in parities),
            "reference_tokens": tokens,
            "token_errors": errors,
            "token_error_rate": errors / tokens if tokens else None,
            "near_tie_errors": sum(p.token_errors for p in parities if p.near_tie),
            "encoder_max_abs_error": max(by_chunk) if by_chunk else None,
            "encoder_max_abs_error_by_chunk": by_chunk,
            "decisions": decisions,
            "kl": _kl([p.kl for p in parities]) if decisions else None,
            "wer": self._wer(),
        }

    def _wer(self) -> dict[str, float | int] | None:
        scored = [p.words for p in self.parities if p.words is not None]
        words = sum(total for _, _, total in scored)
        if not words:
            return None
        reference, candidate = (sum(p[side] for p in scored) for side in (0, 1))
        low, high = rate_interval([p[1] - p[0] for p in scored], [p[2] for p in scored])
        return {
            "reference": reference / words,
            "candidate": candidate / words,
            "words": words,
            "difference": (candidate - reference) / words,
            "difference_low": low,
            "difference_high": high,
        }


def _kl(by_utterance: Sequence[NDArray[np.float64]]) -> dict[str, float]:
    kl = np.concatenate(by_utterance)
    low, high = rate_interval([one.sum() for one in by_utterance], [len(o) for o in by_utterance])
    return {
        "mean": float(kl.mean()),
        "mean_low": low,
        "mean_high": high,
        "p99": float(np.quantile(kl, 0.99)),
        "max": float(kl.max()),
    }
