import math

import pytest

from quantkit.core.errors import InputError
from quantkit.evaluate.parity_gates import GateResult, evaluate
from quantkit.recipe.schema import Gates

PARITY = {
    "utterances": 8,
    "token_exact_utterances": 6,
    "token_errors": 5,
    "reference_tokens": 100,
    "kl": {"mean": 0.002},
    "wer": {"reference": 0.20, "candidate": 0.23},
}


def test_each_gate_takes_its_side() -> None:
    gates = Gates(
        token_exact_utterances=0.75, token_error_rate=0.05, kl_mean=0.001, wer_difference=0.02
    )
    results = {result.name: result for result in evaluate(gates, PARITY)}
    assert results["token_exact_utterances"].passed
    assert results["token_error_rate"].passed
    assert not results["kl_mean"].passed
    assert not results["wer_difference"].passed
    assert str(results["wer_difference"]).endswith("accepted at most 0.02, missed by 0.01")


def test_a_better_candidate_passes() -> None:
    parity = PARITY | {"wer": {"reference": 0.3, "candidate": 0.2}}
    (result,) = evaluate(Gates(wer_difference=0.0), parity)
    assert result.passed


def test_not_a_number_passes_nothing() -> None:
    assert not GateResult("x", math.nan, 1.0, at_least=True).passed
    assert not GateResult("x", math.nan, 1.0, at_least=False).passed


def test_almost_is_not_enough() -> None:
    assert not GateResult("x", 0.9999999, 1.0, at_least=True).passed


def test_what_was_not_measured_cannot_be_judged() -> None:
    with pytest.raises(InputError, match="have no texts"):
        evaluate(Gates(wer_difference=0.1), {**PARITY, "wer": None})
    with pytest.raises(InputError, match=r"no utterance of .* is long enough"):
        evaluate(Gates(kl_mean=0.1), {**PARITY, "kl": None})
