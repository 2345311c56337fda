"""Gates: a measured value against its limit, and those of a recipe against a parity report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantkit.core.errors import InputError
from quantkit.recipe.schema import Gates
from quantkit.report.schema import Gate


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
    """A gate with its outcome: passed on the limit, or on its good side.

    A value that is not a number passes none.
    """
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


def recipe_gates(gates: Gates, parity: Mapping[str, Any], scheme: str, evidence: str) -> list[Gate]:
    """A recipe's gates on the content of a parity.json.

    Args:
        gates: those that are not None are judged, in their order.
        parity: what was measured.
        scheme: the recipe's name.
        evidence: where the numbers are.

    Raises:
        InputError: a gate asks for what was not measured.
    """
    values = {
        name: _measured(name, parity)
        for name in type(gates).model_fields
        if getattr(gates, name) is not None
    }
    return [
        make_gate(
            name,
            scheme,
            value,
            getattr(gates, name),
            evidence,
            at_least=name == "token_exact_utterances",
        )
        for name, value in values.items()
    ]


def _measured(name: str, parity: Mapping[str, Any]) -> float:
    if name == "token_exact_utterances":
        return float(parity["token_exact_utterances"] / max(parity["utterances"], 1))
    if name == "token_error_rate":
        return float(parity["token_errors"] / max(parity["reference_tokens"], 1))
    if name == "kl_mean":
        if parity.get("kl") is None:
            raise InputError(
                "verify.gates.kl_mean: no decision was compared, because no utterance of "
                "verify.manifest is long enough; add speech or remove the gate"
            )
        return float(parity["kl"]["mean"])
    wer = parity.get("wer")
    if wer is None:
        raise InputError(
            "verify.gates.wer_difference: no word error rate was measured, because the "
            "utterances of verify.manifest have no texts; add them or remove the gate"
        )
    return float(wer["candidate"] - wer["reference"])
