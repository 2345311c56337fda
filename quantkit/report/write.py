"""The files of a report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from quantkit.core.files import write_bytes, write_json, write_text
from quantkit.report.html import render_html
from quantkit.report.junit import render_junit
from quantkit.report.markdown import render_markdown
from quantkit.report.schema import Report

FILES = ("report.json", "report.md", "report.html", "junit.xml")


def write_report(report: Report, audio: Mapping[str, Path], out: Path) -> None:
    """Write `FILES` into a directory.

    The same report and speech give the same bytes; each file is complete or absent. `audio` maps
    the digest of each utterance in `report.worst` to its decoded speech.

    Raises:
        InputError: a clip cannot be read; then nothing was written.
    """
    page = render_html(report, audio)
    data, text, html, junit = (out / name for name in FILES)
    write_json(data, report.model_dump(mode="json", by_alias=True))
    write_text(text, render_markdown(report))
    write_text(html, page)
    write_bytes(junit, render_junit(report))
