"""The drawings."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.report.html import plots
from quantkit.report.rate_plots import pareto_front
from quantkit.report.schema import Report, Scheme
from tests.report.reports import bare_report, full_report


def words(svg: str) -> set[str]:
    return {"".join(element.itertext()).strip() for element in ET.fromstring(_xml(svg)).iter()}


def _xml(svg: str) -> str:
    return svg.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1)


def test_every_scheme_has_its_line() -> None:
    size, length, layers, chunks = plots(full_report()[0])
    schemes = {"demo-int8-rtn", "demo-int4-gptq", "demo-int4-rtn"}
    assert all(plot.svg for plot in (size, length, layers, chunks))
    assert schemes | {"fp32", "PyTorch", "Pareto front", "average WER, %"} <= words(size.svg or "")
    assert schemes | {"fp32", "0 to 2 s", "from 15 s"} <= words(length.svg or "")
    assert schemes | {"stem", "0", "7", "predictor", "joint"} <= words(layers.svg or "")
    assert "fp32" not in words(layers.svg or "")
    assert schemes | {"fp32", "1e-5", "chunk"} <= words(chunks.svg or "")
    assert chunks.note.startswith("One recording of minutes")


@pytest.mark.slow
def test_colors_are_the_pages_and_ids_are_unique() -> None:
    page = "".join(plot.svg or "" for plot in plots(full_report()[0]))
    assert not re.findall(r"(?:fill|stroke): #\w+", page)
    assert {"currentColor", "var(--rule)", "var(--page)", "var(--series-3)"} <= set(
        re.findall(r"(?:fill|stroke): ([^;\"]+)", page)
    )
    defined = re.findall(r'\bid="([^"]+)"', page)
    assert len(defined) == len(set(defined))
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', page)
    assert set(used) <= set(defined)
    assert "<style" not in page
    assert "DejaVu" not in page


def test_without_data_a_sentence() -> None:
    drawn = plots(bare_report())
    assert [plot.svg for plot in drawn] == [None] * 4
    assert all(plot.note.endswith(".") for plot in drawn)


def test_errors_without_a_long_recording_are_those_of_the_utterances() -> None:
    content = full_report()[0].model_dump(by_alias=True)
    for scheme in content["schemes"]:
        scheme["long_form"] = None
    chunks = plots(Report.model_validate(content))[3]
    assert chunks.svg
    assert chunks.note == "The utterances compared deeply, against PyTorch."


def test_zero_and_equal_values_are_drawn() -> None:
    content = full_report()[0].model_dump(by_alias=True)
    for scheme in content["schemes"]:
        scheme["layers"] = [one | {"kl_mean": 1e-3} for one in scheme["layers"]]
        if scheme["long_form"]:
            zero = scheme["name"] == "fp32"
            scheme["long_form"]["encoder_errors"] = [0.0] * 9 if zero else [0.0, 2e-3]
    _, _, layers, chunks = plots(Report.model_validate(content))
    assert {"1e-3"} <= words(layers.svg or "")
    assert "fp32" not in words(chunks.svg or "")


SCHEME = full_report()[0].schemes[-1]


def sized(total_bytes: int, wer: float) -> Scheme:
    macro = SCHEME.macro.model_copy(update={"wer": wer})
    return SCHEME.model_copy(update={"total_bytes": total_bytes, "macro": macro})


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), min_size=1))
def test_nothing_beats_the_front(pairs: list[tuple[int, int]]) -> None:
    found = pareto_front([sized(size, wer) for size, wer in pairs])
    front = [(one.total_bytes, one.macro.wer) for one in found]
    best = {
        (size, wer)
        for size, wer in pairs
        if not any((a, b) != (size, wer) and a <= size and b <= wer for a, b in pairs)
    }
    assert front == sorted(best)
