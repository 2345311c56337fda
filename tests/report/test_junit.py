"""JUnit, as CI systems read it."""

from __future__ import annotations

from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

from quantkit.report.format import describe_gate
from quantkit.report.junit import render_junit
from tests.report.reports import bare_report, full_report


def parse(content: bytes) -> dict[str, TestSuite]:
    return {suite.name: suite for suite in JUnitXml.fromstring(content)}


def test_a_case_for_every_gate() -> None:
    report, _ = full_report()
    suites = parse(render_junit(report))
    assert list(suites) == ["demo-int8-rtn", "demo-int4-gptq", "demo-int4-rtn", "speech"]
    cases: list[TestCase] = list(suites["demo-int4-rtn"])
    assert [(case.name, case.classname, case.is_passed) for case in cases] == [
        ("wer_difference (macro)", "demo-int4-rtn", False),
        ("token_error_rate", "demo-int4-rtn", True),
        ("kl_mean", "demo-int4-rtn", False),
    ]
    (failure,) = cases[0].result
    assert isinstance(failure, Failure)
    assert failure.message == describe_gate(report.gates[6])
    whole = JUnitXml.fromstring(render_junit(report))
    assert (whole.tests, whole.failures, whole.errors) == (12, 2, 1)


def test_the_speech() -> None:
    speech = parse(render_junit(full_report()[0]))["speech"]
    assert [case.name for case in speech] == ["prompts", "game", "problem 1"]
    (error,) = list(speech)[2].result
    assert isinstance(error, Error)
    assert error.message == "ami: <b>no</b> text field 'text'; it has: audio, id, sentence"
    assert {one.name: one.value for one in speech.properties()} == {
        "excluded from prompts": "0",
        "excluded from game": "3",
        "excluded, reason 1": "game: 3 utterances: 0.2 s is shorter than a word",
    }


def test_characters_that_xml_cannot_hold() -> None:
    report = bare_report()
    suite = report.suite.model_copy(update={"problems": ["a\x00b\x1b[1m\ud800"]})
    speech = parse(render_junit(report.model_copy(update={"suite": suite})))["speech"]
    assert list(speech)[2].result[0].message == "a\ufffdb\ufffd[1m\ufffd"
