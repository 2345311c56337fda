"""The files of a report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from quantkit.core.files import write_bytes, write_json, write_text
from quantkit.report.html import render_html
from quantkit.report.junit import render_junit
from quantkit.report.markdown import render_markdown
from quantkit.report.model import Report


def write_report(report: Report, audio: Mapping[str, Path], out: Path) -> None:
    """Write report.json, report.md, report.html and junit.xml into a directory.

    The same report and speech give the same bytes; each file is complete or absent. `audio` maps
    the digest of each utterance in `report.worst` to its decoded speech.

    Raises:
        InputError: a clip cannot be read; then nothing was written.
    """
    page = render_html(report, audio)
    write_json(out / "report.json", report.model_dump(mode="json", by_alias=True))
    write_text(out / "report.md", render_markdown(report))
    write_text(out / "report.html", page)
    write_bytes(out / "junit.xml", render_junit(report))
