"""What schemes have to keep, by their recipe or by the suite, and the estimate it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quantkit.compare.measures import Measures
from quantkit.core.errors import InputError
from quantkit.verify.bootstrap import Estimate

Measure = Literal["wer_difference", "token_error_rate", "kl_mean", "token_exact_utterances"]


@dataclass(frozen=True)
class Claim:
    """A limit on a measure of a scheme against PyTorch in chunks of the same length.

    Attributes:
        measure: `token_exact_utterances` is a share that has to be reached, the others are not
            to be exceeded.
        limit: the last accepted value.
        confidence: the bound of a one-sided interval has to keep the limit; None: the measured
            value itself.
        set: of a difference of word error rates; None: the average over the sets.

    Raises:
        InputError: a set is given for a measure over all sets together.
    """

    measure: Measure
    limit: float
    confidence: float | None = None
    set: str | None = None

    def __post_init__(self) -> None:
        if self.set is not None and self.measure != "wer_difference":
            raise InputError(
                f"gate {self.measure}: found set {self.set!r}, but it is measured over all sets "
                "together; leave `set` out, or use wer_difference"
            )

    @property
    def name(self) -> str:
        """`wer_difference (macro, 95 % bound)`."""
        words = [self.set or "macro"] if self.measure == "wer_difference" else []
        if self.confidence is not None:
            words.append(f"{100 * self.confidence:g} % bound")
        return f"{self.measure} ({', '.join(words)})" if words else self.measure

    @property
    def at_least(self) -> bool:
        """Whether the limit is to be reached rather than not to be exceeded."""
        return self.measure == "token_exact_utterances"

    @property
    def evidence(self) -> str:
        """The key below a scheme of the report that holds the numbers."""
        part = f"sets[{self.set}]" if self.set else "macro"
        return {
            "wer_difference": f"{part}.delta",
            "token_error_rate": "parity.token_error_rate",
            "kl_mean": "parity.kl.mean",
            "token_exact_utterances": "parity.token_exact_utterances",
        }[self.measure]

    def value(self, measures: Measures) -> float:
        """The measured number, or the bound that it keeps with the claim's confidence.

        Raises:
            InputError: it was not measured.
        """
        estimate = self._estimate(measures)
        if self.confidence is None:
            return estimate.value
        bound = estimate.lower if self.at_least else estimate.upper
        return bound(self.confidence)

    def _estimate(self, measures: Measures) -> Estimate:
        found: Estimate | None
        match self.measure:
            case "token_exact_utterances":
                return measures.tokens.exact
            case "token_error_rate":
                found, why = measures.tokens.errors, "PyTorch decoded no token of the speech"
            case "kl_mean":
                found, why = measures.kl_mean, "the suite compares no distributions"
            case "wer_difference" if self.set is None:
                return measures.wer_difference.macro
            case "wer_difference":
                found = measures.wer_difference.sets.get(self.set)
                why = f"the set {self.set!r} was not evaluated"
        if found is None:
            raise InputError(f"gate {self.name}: {why}; correct the suite or remove the gate")
        return found
