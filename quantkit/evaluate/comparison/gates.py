"""The gates of a suite: what each claims about a scheme, and whether it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quantkit.core.errors import InputError
from quantkit.evaluate.bootstrap import Estimate
from quantkit.evaluate.comparison.measures import Measures
from quantkit.evaluate.gates import make_gate
from quantkit.recipe.suite import GateSettings
from quantkit.report.schema import Gate, Scheme


@dataclass(frozen=True)
class Verdict:
    """The gates that could be judged, and a message for each claim that could not."""

    gates: list[Gate]
    problems: list[str]


def judge(
    measures: Mapping[str, Measures], claims: Mapping[str, Sequence[GateSettings]]
) -> Verdict:
    """Judge every claim; both arguments are by the name of the row."""
    gates, problems = [], []
    for scheme, asked in claims.items():
        for claim in asked:
            try:
                value = _value(claim, measures[scheme])
            except InputError as error:
                # One gate that cannot be judged takes no report away.
                problems.append(str(error))
                continue
            gates.append(
                make_gate(
                    _name(claim),
                    scheme,
                    value,
                    claim.limit,
                    f"schemes[{scheme}].{_evidence(claim)}",
                    at_least=claim.at_least,
                    confidence=claim.confidence,
                )
            )
    return Verdict(gates, list(dict.fromkeys(problems)))


def chain_gates(schemes: Sequence[Scheme]) -> list[Gate]:
    """That the fp32 graphs say what PyTorch says: no token error by export and fusion."""
    return [
        make_gate(
            "export + fusion token errors",
            scheme.name,
            sum(link.token_errors for link in scheme.chain),
            0,
            f"schemes[{scheme.name}].chain",
        )
        for scheme in schemes
        if scheme.role == "fp32"
    ]


def _name(claim: GateSettings) -> str:
    """`wer_difference (macro, 95 % bound)`."""
    words = [claim.set or "macro"] if claim.measure == "wer_difference" else []
    if claim.confidence is not None:
        words.append(f"{100 * claim.confidence:g} % bound")
    return f"{claim.measure} ({', '.join(words)})" if words else claim.measure


def _evidence(claim: GateSettings) -> str:
    """The key below a scheme of the report that holds the numbers."""
    part = f"sets[{claim.set}]" if claim.set else "macro"
    return {
        "wer_difference": f"{part}.delta",
        "token_error_rate": "parity.token_error_rate",
        "kl_mean": "parity.kl.mean",
        "token_exact_utterances": "parity.token_exact_utterances",
    }[claim.measure]


def _value(claim: GateSettings, measures: Measures) -> float:
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
        raise InputError(f"gate {_name(claim)}: {why}; correct the suite or remove the gate")
    return found
