"""The report as one page that needs nothing else: no network, no script, no other file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from quantkit.core.text import printable
from quantkit.report import alignment, rates, sentences, tables
from quantkit.report.audio import data_uri
from quantkit.report.format import describe_gate
from quantkit.report.plots import plots
from quantkit.report.schema import Report
from quantkit.report.svg import Plot

#: Exclusions that a page lists one by one; report.json has all.
LISTED = 500


def render_html(report: Report, audio: Mapping[str, Path]) -> str:
    """The page; `audio` maps the digest of every utterance in `report.worst` to its speech.

    Raises:
        InputError: a clip cannot be read.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html.j2").render(
        report=report,
        rates=rates,
        sentences=sentences,
        tables=tables,
        describe_gate=describe_gate,
        drawings=[(plot, _markup(plot)) for plot in plots(report)],
        worst=[(one, alignment.places(one), data_uri(audio[one.digest])) for one in report.worst],
        sentence=alignment.sentence,
        excluded=[(name, one) for name, part in report.suite.sets.items() for one in part.excluded],
        listed=LISTED,
    )


def _shown(value: object) -> object:
    """What the page shows of a value: texts printable, drawings as they are."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _markup(plot: Plot) -> Markup | None:
    # The drawing escapes every text in it itself.
    return None if plot.svg is None else Markup(plot.svg)  # noqa: S704
