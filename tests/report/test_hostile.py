"""Texts of strangers in every form of a report: shown, and nothing of them acts."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree as ET

import pytest

from quantkit.report.html import render_html
from quantkit.report.junit import render_junit
from quantkit.report.markdown import render_markdown
from quantkit.report.schema import Excluded, Report
from tests.report.reports import full_report

HOSTILE = (
    "\x1b]0;owned\x07 \u202e \ud800 \x85 @torvalds @org/team https://evil.example #12 org/x#3 "
    "<img src=x onerror=alert(1)> ![a](http://b) ```\n~~~ |x| 0123456789abcdef0123 GH-7 www.a.b"
)
#: What a terminal, a browser or an XML parser acts on, and lone surrogates.
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]")


@pytest.fixture(scope="module")
def report() -> Report:
    found, _ = full_report()
    sets = {
        name: one.model_copy(
            update={"source": HOSTILE, "excluded": [Excluded(id=HOSTILE, reason=HOSTILE)]}
        )
        for name, one in found.suite.sets.items()
    }
    gates = [one.model_copy(update={"name": HOSTILE, "evidence": HOSTILE}) for one in found.gates]
    suite = found.suite.model_copy(update={"sets": sets, "problems": [HOSTILE]})
    return found.model_copy(
        update={
            "suite": suite,
            "gates": gates,
            "command": f"quantkit compare '{HOSTILE}'",
            "checkpoint": HOSTILE,
            "worst": [],
        }
    )


def test_markdown(report: Report) -> None:
    text = render_markdown(report)
    assert not ACTING.search(text)
    block = re.search(r"^(`{4,})sh\n.*?^\1$", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    # In the block of code everything is dead.
    rest = text.replace(block[0], "")
    for acting in (r"@\w", r"://", r"#\d", r"GH-\d", r"www\.", r"<img", r"(?<!\\)!\[a\]\("):
        assert not re.search(acting, rest), acting
    assert not re.search(r"(?<![0-9a-z`])[0-9a-f]{7,40}(?![0-9a-z`])", rest)
    assert "```" not in rest
    assert r"\\x1b" in rest


@pytest.mark.slow
def test_html(report: Report) -> None:
    page = render_html(report, {})
    assert not ACTING.search(page)
    assert "<img" not in page
    assert r"\x1b]0;owned\x07" in page
    page.encode()


def test_junit(report: Report) -> None:
    content = render_junit(report).decode()
    assert not ACTING.search(content)
    problems = [one.get("message", "") for one in ET.fromstring(content).iter("error")]
    assert any("owned" in problem for problem in problems)


def test_json_is_ascii(report: Report) -> None:
    assert json.dumps(report.model_dump(mode="json", by_alias=True)).isascii()
