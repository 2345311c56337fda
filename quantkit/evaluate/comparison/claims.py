"""What a suite's gates claim: the estimate that each is about, and how it is named."""

from __future__ import annotations

from quantkit.core.errors import InputError
from quantkit.evaluate.bootstrap import Estimate
from quantkit.evaluate.comparison.measures import Measures
from quantkit.recipe.suite import GateSettings


def claim_name(claim: GateSettings) -> str:
    """`wer_difference (macro, 95 % bound)`."""
    words = [claim.set or "macro"] if claim.measure == "wer_difference" else []
    if claim.confidence is not None:
        words.append(f"{100 * claim.confidence:g} % bound")
    return f"{claim.measure} ({', '.join(words)})" if words else claim.measure


def evidence(claim: GateSettings) -> str:
    """The key below a scheme of the report that holds the numbers."""
    part = f"sets[{claim.set}]" if claim.set else "macro"
    return {
        "wer_difference": f"{part}.delta",
        "token_error_rate": "parity.token_error_rate",
        "kl_mean": "parity.kl.mean",
        "token_exact_utterances": "parity.token_exact_utterances",
    }[claim.measure]


def claimed_value(claim: GateSettings, measures: Measures) -> float:
    """The measured number, or the upper bound that it keeps with the claim's confidence.

    Raises:
        InputError: it was not measured.
    """
    estimate = _estimate(claim, measures)
    return estimate.value if claim.confidence is None else estimate.upper(claim.confidence)


def _estimate(claim: GateSettings, measures: Measures) -> Estimate:
    found: Estimate | None
    match claim.measure:
        case "token_exact_utterances":
            return measures.tokens.exact
        case "token_error_rate":
            found, why = measures.tokens.errors, "PyTorch decoded no token of the speech"
        case "kl_mean":
            found, why = measures.kl_mean, "the suite compares no distributions"
        case "wer_difference" if claim.set is None:
            return measures.wer_difference.macro
        case "wer_difference":
            found = measures.wer_difference.sets.get(claim.set)
            why = f"the set {claim.set!r} was not evaluated"
    if found is None:
        raise InputError(f"gate {claim_name(claim)}: {why}; correct the suite or remove the gate")
    return found
