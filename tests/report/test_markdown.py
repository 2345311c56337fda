"""The Markdown for pull requests."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.core.markdown import escape
from quantkit.report.markdown import LIMIT, render_markdown
from quantkit.report.schema import Report
from tests.report.reports import bare_report, full_report


def section(text: str, title: str) -> str:
    return text.split(f"### {title}\n", 1)[1].split("\n### ", 1)[0]


def cells(table: str) -> list[list[str]]:
    rows = [line for line in table.splitlines() if line.startswith("|")]
    return [re.split(r" (?<!\\)\| ", row[2:-2]) for row in rows]


def test_the_first_line_names_the_failures() -> None:
    first = render_markdown(full_report()[0]).splitlines()[0]
    assert first == (
        r"**Failed: 2 of 9 gates missed; 1 set could not be used**: wer\_difference (macro) of "
        r"demo-int4-rtn by 0.0056; kl\_mean of demo-int4-rtn by 0.018"
    )


def test_the_first_line_of_success() -> None:
    report, _ = full_report()
    kept = report.model_copy(
        update={
            "gates": [gate for gate in report.gates if gate.passed],
            "suite": report.suite.model_copy(update={"problems": []}),
        }
    )
    assert render_markdown(kept).splitlines()[0] == "**Passed: 7 gates kept**"


def test_the_summary() -> None:
    heads, _, *rows = cells(section(render_markdown(full_report()[0]), "Summary"))
    by_name = {row[0]: dict(zip(heads, row, strict=True)) for row in rows}
    assert list(by_name) == [
        "PyTorch streaming 560 ms",
        "PyTorch chunked 560 ms",
        "PyTorch offline",
        "fp32",
        "demo-int8-rtn",
        "demo-int4-gptq",
        "demo-int4-rtn",
    ]
    assert by_name["demo-int4-rtn"] == {
        "scheme": "demo-int4-rtn",
        "MB": "7.9",
        "bits per weight": "5.57",
        "WER: average, %": "77.12",
        "WER: minus PyTorch, points": "+0.84 (+0.24 to +1.56)",
        "WER: p": "0.412",
        "tokens: exact utterances": "42 of 555",
        "tokens: edit rate, %": "35.00",
        "KL, nats: mean": "2.0e-2",
        "KL, nats: p99": "0.18",
        "KL, nats: max": "1.8",
        "step, ms: p50": "2.8",
        "step, ms: p95": "3.4",
        "RTFx": "142.9",
        "memory, MB": "120.0",
        "latency, ms": "632",
    }
    assert set(list(by_name["PyTorch streaming 560 ms"].values())[4:]) == {"-"}


def test_what_each_step_changed() -> None:
    text = section(render_markdown(full_report()[0]), "Export, fusion, quantization")
    assert cells(text)[-1] == [
        "demo-int4-rtn",
        *["555 of 555", "0 of 6,478", "0"] * 2,
        *["42 of 555", "2,267 of 6,478", "+42"],
    ]


def test_exclusions_are_counted_with_their_reasons() -> None:
    text = section(render_markdown(full_report()[0]), "Speech")
    assert "- Could not be used: ami: &lt;b\\>no&lt;/b\\> text field 'text'" in text
    assert "<summary>3 utterances excluded</summary>" in text
    assert "- game: 3 utterances: 0.2 s is shorter than a word\n" in text
    assert "- game/clip\\|2: 0.2 s is shorter than a word\n" in text


def test_what_was_not_measured_is_said() -> None:
    text = render_markdown(bare_report())
    assert text.startswith("**No gates were set; 1 set could not be used**\n")
    for sentence in (
        "No row has a chain: only PyTorch was evaluated.",
        "No differences by length were computed.",
        "No row was compared token by token.",
        "Speed was not measured.",
    ):
        assert sentence in text
    assert "None" not in text
    assert "nan" not in text


def test_a_comment_holds_the_largest_comparison() -> None:
    report, _ = full_report()
    content: dict[str, Any] = report.model_dump(by_alias=True)
    sets = {f"set{index}": content["suite"]["sets"]["game"] for index in range(8)}
    content["suite"]["sets"] = sets
    for one in sets.values():
        one["excluded"] = [{"id": str(n), "reason": f"reason {n}"} for n in range(5000)]
    content["schemes"] = [
        scheme
        | {
            "name": f"{scheme['name']} {index}",
            "sets": dict.fromkeys(sets, scheme["sets"]["game"]),
        }
        for index in range(10)
        for scheme in content["schemes"]
    ]
    content["gates"] *= 40
    text = render_markdown(Report.model_validate(content))
    assert len(text) < LIMIT
    assert len(cells(section(text, "Summary"))) == 72
    assert "; and 70 more\n" in text
    assert "Too long for a comment, see report.html: " in text


@given(st.text())
def test_any_text_is_one_cell_of_a_table(text: str) -> None:
    line = escape(text)
    assert len(line.splitlines()) <= 1
    assert not re.search(r"(?<!\\)(\\\\)*\|", line)
    assert "<" not in line


@pytest.mark.parametrize("text", ["demo-int4-gptq", "0.34 (0.1 to 0.2)", "it's, said: 5 %"])
def test_plain_text_stays(text: str) -> None:
    assert escape(text) == text
