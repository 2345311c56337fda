"""Gates: measured parity against the limits of the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quantkit.core.errors import InputError
from quantkit.recipe.schema import Gates


@dataclass(frozen=True)
class GateResult:
    """One gate: the measured value, its limit, and on which side of it the value has to be."""

    name: str
    value: float
    limit: float
    at_least: bool

    @property
    def passed(self) -> bool:
        """Whether the limit is kept; a value that is not a number keeps none."""
        if self.at_least:
            return self.value >= self.limit
        return self.value <= self.limit

    def __str__(self) -> str:
        side = "at least" if self.at_least else "at most"
        text = f"{self.name}: measured {self.value:.6g}, accepted {side} {self.limit:.6g}"
        return text if self.passed else f"{text}, missed by {abs(self.value - self.limit):.3g}"


def evaluate(gates: Gates, parity: Mapping[str, Any]) -> list[GateResult]:
    """The recipe's gates on the content of a parity.json.

    Raises:
        InputError: a gate asks for what was not measured.
    """
    results = []
    if gates.token_exact_utterances is not None:
        share = parity["token_exact_utterances"] / max(parity["utterances"], 1)
        results.append(
            GateResult("token_exact_utterances", share, gates.token_exact_utterances, at_least=True)
        )
    if gates.token_error_rate is not None:
        rate = parity["token_errors"] / max(parity["reference_tokens"], 1)
        results.append(GateResult("token_error_rate", rate, gates.token_error_rate, at_least=False))
    if gates.kl_mean is not None:
        if parity.get("kl") is None:
            raise InputError(
                "verify.gates.kl_mean: no decision was compared, because no utterance of "
                "verify.manifest is long enough; add speech or remove the gate"
            )
        results.append(GateResult("kl_mean", parity["kl"]["mean"], gates.kl_mean, at_least=False))
    if gates.wer_difference is not None:
        wer = parity.get("wer")
        if wer is None:
            raise InputError(
                "verify.gates.wer_difference: no word error rate was measured, because the "
                "utterances of verify.manifest have no texts; add them or remove the gate"
            )
        rise = wer["candidate"] - wer["reference"]
        results.append(GateResult("wer_difference", rise, gates.wer_difference, at_least=False))
    return results
