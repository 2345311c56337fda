from __future__ import annotations

import pytest

from quantkit.evaluate.comparison.assemble import assemble
from quantkit.evaluate.comparison.gates import Verdict, chain_gates, judge
from quantkit.recipe.suite import GateSettings, Measure
from quantkit.report.format import describe_gate
from tests.evaluate.comparison import toy

MEASURES = toy.assembled().measures


def judged(*claims: GateSettings) -> Verdict:
    return judge(MEASURES, {"int4": claims})


@pytest.mark.parametrize(
    ("measure", "kept", "missed"),
    [
        ("wer_difference", 0.0834, 0.0833),
        ("token_error_rate", 0.2223, 0.2222),
        ("kl_mean", 0.21, 0.19),
        ("token_exact_utterances", 0.2, 0.2001),
    ],
)
def test_each_measure_on_both_sides_of_its_limit(
    measure: Measure, kept: float, missed: float
) -> None:
    good, bad = judged(
        GateSettings(measure=measure, limit=kept), GateSettings(measure=measure, limit=missed)
    ).gates
    assert good.passed
    assert good.margin >= 0
    assert not bad.passed
    assert bad.margin < 0
    assert good.value == bad.value


def test_a_claim_with_confidence_needs_the_bound_to_keep_it() -> None:
    point, bound = judged(
        GateSettings(measure="wer_difference", limit=0.1),
        GateSettings(measure="wer_difference", limit=0.1, confidence=0.95),
    ).gates
    assert point.passed
    assert not bound.passed
    difference = MEASURES["int4"].wer_difference.macro
    assert bound.value == difference.upper(0.95) > point.value
    assert describe_gate(bound) == (
        f"wer_difference (macro, 95 % bound) of int4: measured {bound.value:.6g} "
        f"(95 % bound), accepted at most 0.1, missed by {bound.value - 0.1:.3g}; "
        "evidence: schemes[int4].macro.delta"
    )


def test_one_set_alone() -> None:
    (gate,) = judged(GateSettings(measure="wer_difference", limit=0.2, set="a")).gates
    assert gate.value == pytest.approx(2 / 12)
    assert (gate.name, gate.evidence) == ("wer_difference (a)", "schemes[int4].sets[a].delta")


def test_what_was_not_measured_is_told_once_and_takes_no_other_gate_away() -> None:
    claims = [
        GateSettings(measure="kl_mean", limit=0.1),
        GateSettings(measure="wer_difference", limit=0.5, set="c"),
    ]
    verdict = judge(MEASURES, {"fp32": claims, "int4": claims})
    assert [(gate.scheme, gate.name) for gate in verdict.gates] == [("int4", "kl_mean")]
    assert len(verdict.problems) == 2
    assert "compares no distributions" in verdict.problems[0]
    assert "the set 'c' was not evaluated" in verdict.problems[1]


def test_export_and_fusion_change_no_token() -> None:
    (gate,) = chain_gates(toy.assembled().schemes)
    assert (gate.scheme, gate.passed, gate.value, gate.limit) == ("fp32", True, 0, 0)
    wrong = toy.evaluated(toy.DECODED | {"export": toy.PYTORCH | {"b0": "yellow"}})
    (gate,) = chain_gates(assemble(toy.ROWS, wrong, "pytorch", toy.STATISTICS).schemes)
    # The export's error, and the fusion's that undoes it.
    assert (gate.passed, gate.value) == (False, 2)
    assert gate.evidence == "schemes[fp32].chain"
