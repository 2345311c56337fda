"""Gates: every claim on a scheme, judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quantkit.core.errors import InputError
from quantkit.evaluate.comparison.claims import claim_name, claimed_value, evidence
from quantkit.evaluate.comparison.measures import Measures
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
                value = claimed_value(claim, measures[scheme])
            except InputError as error:
                # One gate that cannot be judged takes no report away.
                problems.append(str(error))
                continue
            gates.append(
                make_gate(
                    claim_name(claim),
                    scheme,
                    value,
                    claim.limit,
                    f"schemes[{scheme}].{evidence(claim)}",
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


def make_gate(
    name: str,
    scheme: str,
    value: float,
    limit: float,
    evidence: str,
    *,
    at_least: bool = False,
    confidence: float | None = None,
) -> Gate:
    """A gate with its outcome: passed on the limit, or on its good side."""
    margin = value - limit if at_least else limit - value
    return Gate(
        name=name,
        scheme=scheme,
        passed=margin >= 0,
        value=value,
        limit=limit,
        at_least=at_least,
        margin=margin,
        confidence=confidence,
        evidence=evidence,
    )
