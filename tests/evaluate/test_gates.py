import math
from collections.abc import Mapping
from typing import Any

import pytest

from quantkit.core.errors import InputError
from quantkit.evaluate.gates import make_gate, recipe_gates
from quantkit.recipe.schema import Gates
from quantkit.report.format import describe_gate
from quantkit.report.schema import Gate

PARITY = {
    "utterances": 8,
    "token_exact_utterances": 6,
    "token_errors": 5,
    "reference_tokens": 100,
    "kl": {"mean": 0.002},
    "wer": {"reference": 0.20, "candidate": 0.23},
}


def judged(gates: Gates, parity: Mapping[str, Any] = PARITY) -> dict[str, Gate]:
    return {gate.name: gate for gate in recipe_gates(gates, parity, "toy", "parity.json")}


def test_each_gate_takes_its_side() -> None:
    gates = judged(
        Gates(
            token_exact_utterances=0.75, token_error_rate=0.05, kl_mean=0.001, wer_difference=0.02
        )
    )
    assert gates["token_exact_utterances"].passed
    assert gates["token_error_rate"].passed
    assert not gates["kl_mean"].passed
    assert not gates["wer_difference"].passed
    told = "accepted at most 0.02, missed by 0.01; evidence: parity.json"
    assert describe_gate(gates["wer_difference"]).endswith(told)


def test_a_better_candidate_passes() -> None:
    gates = judged(
        Gates(wer_difference=0.0), PARITY | {"wer": {"reference": 0.3, "candidate": 0.2}}
    )
    assert gates["wer_difference"].passed


def test_not_a_number_passes_nothing() -> None:
    assert not make_gate("x", "toy", math.nan, 1.0, "", at_least=True).passed
    assert not make_gate("x", "toy", math.nan, 1.0, "").passed


def test_almost_is_not_enough() -> None:
    assert not make_gate("x", "toy", 0.9999999, 1.0, "", at_least=True).passed


def test_what_was_not_measured_cannot_be_judged() -> None:
    with pytest.raises(InputError, match="have no texts"):
        judged(Gates(wer_difference=0.1), {**PARITY, "wer": None})
    with pytest.raises(InputError, match=r"no utterance of .* is long enough"):
        judged(Gates(kl_mean=0.1), {**PARITY, "kl": None})
