"""The plots of a report, in which a scheme always has the same colour and marker."""

from __future__ import annotations

from quantkit.report.error_plots import divergence_by_layer, error_by_chunk
from quantkit.report.rate_plots import difference_by_length, rate_by_size
from quantkit.report.schema import Report
from quantkit.report.svg import COLORS, Plot, Style

_MARKERS = "osD^vPX*"


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
    # Seven colours and eight markers repeat together after 56 schemes.
    return {"color": COLORS[index % len(COLORS)], "marker": _MARKERS[index % len(_MARKERS)]}
