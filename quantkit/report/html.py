"""The report as one page that needs nothing else: no network, no script, no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path

import soundfile
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from quantkit.core.errors import InputError
from quantkit.core.text import printable
from quantkit.report import alignment, rates, sentences, tables
from quantkit.report.error_plots import divergence_by_layer, error_by_chunk
from quantkit.report.format import describe_gate
from quantkit.report.rate_plots import difference_by_length, rate_by_size
from quantkit.report.schema import Report
from quantkit.report.svg import COLORS, Plot, Style

#: Exclusions that a page lists one by one; report.json has all.
LISTED = 500

_MARKERS = "osD^vPX*"


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
        worst=[
            (entry, alignment.places(entry), data_uri(audio[entry.digest]))
            for entry in report.worst
        ],
        sentence=alignment.sentence,
        excluded=[
            (name, exclusion)
            for name, part in report.suite.sets.items()
            for exclusion in part.excluded
        ],
        listed=LISTED,
    )


def _shown(value: object) -> object:
    """What the page shows of a value: texts printable, drawings as they are."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _markup(plot: Plot) -> Markup | None:
    # The drawing escapes every text in it itself.
    return None if plot.svg is None else Markup(plot.svg)  # noqa: S704


def plots(report: Report) -> list[Plot]:
    """All plots; those without data say why."""
    graphs = [scheme for scheme in report.schemes if scheme.role != "pytorch"]
    styles = {scheme.name: _style(index) for index, scheme in enumerate(graphs)}
    return [
        rate_by_size(report, graphs, styles),
        difference_by_length(graphs, styles),
        divergence_by_layer(graphs, styles),
        error_by_chunk(graphs, styles),
    ]


def _style(index: int) -> Style:
    # Seven colors and eight markers repeat together after 56 schemes.
    return {"color": COLORS[index % len(COLORS)], "marker": _MARKERS[index % len(_MARKERS)]}


def data_uri(path: Path) -> str:
    """An audio file as a `data:` URI of MP3, which every browser plays.

    Raises:
        InputError: the file is missing or is no audio.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32")
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"{path}: decoded speech of the report cannot be read ({error}); delete the file, "
            "and the next run decodes it again"
        ) from error
    encoded = io.BytesIO()
    soundfile.write(encoded, samples, rate, format="MP3")
    return f"data:audio/mpeg;base64,{base64.b64encode(encoded.getvalue()).decode()}"
