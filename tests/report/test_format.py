"""Numbers as reports show them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.report.format import (
    describe_gate,
    difference,
    megabytes,
    milliseconds,
    p_value,
    percent,
    points,
    scientific,
    seconds_range,
)
from quantkit.report.schema import Rate
from tests.report.reports import full_report


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (percent(0.842), "84.20"),
        (percent(None), "-"),
        (points(0.0034), "+0.34"),
        (points(-0.0034), "\N{MINUS SIGN}0.34"),
        (points(-0.00001), "0.00"),
        (points(None), "-"),
        (p_value(0.0002), "< 0.001"),
        (p_value(0.0312), "0.031"),
        (scientific(7.71e-4), "7.7e-4"),
        (scientific(0.0), "0"),
        (scientific(3.84), "3.8"),
        (scientific(None), "-"),
        (megabytes(43_612_345), "43.6"),
        (megabytes(1_234_567_890), "1,234.6"),
        (milliseconds(0.56), "560"),
        (seconds_range(2.0, 5.6), "2 to 5.6 s"),
        (seconds_range(15.0, None), "from 15 s"),
    ],
)
def test_one_spelling(shown: str, expected: str) -> None:
    assert shown == expected


@given(st.floats(1e-300, 1e300))
def test_two_digits_of_any_magnitude(value: float) -> None:
    assert float(scientific(value)) == pytest.approx(value, rel=0.051)


def test_a_rate_without_difference_has_no_brackets() -> None:
    rate = Rate(
        wer=0.1,
        low=0.05,
        high=0.2,
        delta=None,
        delta_low=None,
        delta_high=None,
        p_value=None,
        minimum_detectable=None,
    )
    assert difference(rate) == "-"


def test_a_gate_in_a_line() -> None:
    gates = {(gate.scheme, gate.name): gate for gate in full_report()[0].gates}
    assert describe_gate(gates["demo-int4-rtn", "wer_difference (macro)"]) == (
        "wer_difference (macro) of demo-int4-rtn: measured 0.0156 (95 % bound), accepted at most "
        "0.01, missed by 0.0056; evidence: schemes[demo-int4-rtn].macro.delta_high"
    )
    assert describe_gate(gates["demo-int8-rtn", "kl_mean"]) == (
        "kl_mean of demo-int8-rtn: measured 0.00014, accepted at most 0.002; "
        "evidence: schemes[demo-int8-rtn].parity.kl.mean"
    )
