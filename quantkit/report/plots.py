"""The plots of a report: what a byte buys, where a scheme hurts, how errors grow."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from quantkit.report.format import seconds_range
from quantkit.report.model import Report, Scheme
from quantkit.report.svg import COLORS, INK, PAGE, draw

#: Points of a line; longer recordings show the largest error of neighbouring chunks.
_POINTS = 120
_MARKERS = "osD^vPX*"
_TICKED_LAYERS = 24
_LAYER = re.compile(r"\blayers\.(\d+)$")


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
        title: of the section.
        svg: an element for the page; None where there is nothing to draw.
        note: how to read it or, without a drawing, why it is left out.
    """

    title: str
    svg: str | None
    note: str


def plots(report: Report) -> list[Plot]:
    """All plots; a scheme has the same colour and marker in each."""
    graphs = [scheme for scheme in report.schemes if scheme.role != "pytorch"]
    styles = {scheme.name: _style(index) for index, scheme in enumerate(graphs)}
    return [
        _rate_by_size(report, graphs, styles),
        _difference_by_length(graphs, styles),
        _divergence_by_layer(graphs, styles),
        _error_by_chunk(graphs, styles),
    ]


Style = dict[str, Any]
Styles = dict[str, Style]


def _style(index: int) -> Style:
    # Seven colours and eight markers repeat together after 56 schemes.
    return {"color": COLORS[index % len(COLORS)], "marker": _MARKERS[index % len(_MARKERS)]}


def _plot(key: str, title: str, paint: Callable[[Axes], None], note: str) -> Plot:
    return Plot(title, draw(key, title, paint), note)


def pareto_front(schemes: Sequence[Scheme]) -> list[Scheme]:
    """Those that no other equals or beats in both bytes and average WER, the smallest first."""
    front: list[Scheme] = []
    for scheme in sorted(schemes, key=lambda one: (one.total_bytes or 0, one.macro.wer)):
        if not front or scheme.macro.wer < front[-1].macro.wer:
            front.append(scheme)
    return front


def _rate_by_size(report: Report, graphs: Sequence[Scheme], styles: Styles) -> Plot:
    title = "Word error rate against size"
    sized = [scheme for scheme in graphs if scheme.total_bytes is not None]
    if not sized:
        return Plot(title, None, "No row has a size: only PyTorch was evaluated.")
    front = pareto_front(sized)
    reference = next((one for one in report.schemes if one.name == report.reference), None)

    def paint(axes: Axes) -> None:
        if reference is not None:
            rate = reference.macro
            axes.axhspan(100 * rate.low, 100 * rate.high, color=INK, alpha=0.07, linewidth=0)
            axes.axhline(100 * rate.wer, color=INK, linewidth=1, dashes=(4, 3), label="PyTorch")
        sizes = [(one.total_bytes or 0) / 1e6 for one in front]
        rates = [100 * one.macro.wer for one in front]
        if len(front) > 1:
            axes.step(sizes, rates, where="post", color=INK, linewidth=1, label="Pareto front")
        on_front = {scheme.name for scheme in front}
        for scheme in sized:
            _rate_point(axes, scheme, styles[scheme.name], filled=scheme.name in on_front)
        _log_megabytes(axes, [(one.total_bytes or 0) / 1e6 for one in sized])
        axes.set_title("average WER, %")
        axes.set_xlabel("MB")

    band = f" The dashed line and its band are {report.reference}." if reference else ""
    return _plot(
        "size",
        title,
        paint,
        f"Filled: on the Pareto front.{band} Thin bars: interval of the rate; thick bars: of the "
        "paired difference from PyTorch, in which the choice of utterances cancels out.",
    )


def _rate_point(axes: Axes, scheme: Scheme, style: Style, *, filled: bool) -> None:
    rate, size = scheme.macro, (scheme.total_bytes or 0) / 1e6
    color, wer = style["color"], 100 * rate.wer
    axes.vlines(size, 100 * rate.low, 100 * rate.high, color=color, linewidth=1)
    if rate.delta is not None and rate.delta_low is not None and rate.delta_high is not None:
        low, high = (wer + 100 * (end - rate.delta) for end in (rate.delta_low, rate.delta_high))
        axes.vlines(size, low, high, color=color, linewidth=3)
    face = color if filled else PAGE
    # Above the bars of all schemes, which meet where sizes do.
    shown: Style = {"linestyle": "", "markerfacecolor": face, "zorder": 4, "label": scheme.name}
    axes.plot(size, wer, **shown, **style)


def _log_megabytes(axes: Axes, sizes: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / 1.15, max(sizes) * 1.15)
    wide = max(sizes) > 4 * min(sizes)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(5))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def _difference_by_length(graphs: Sequence[Scheme], styles: Styles) -> Plot:
    title = "Difference by length of utterance"
    known = [scheme for scheme in graphs if scheme.by_length]
    if not known:
        return Plot(title, None, "No differences by length were computed.")
    spans = sorted(
        {(one.from_s, one.to_s) for scheme in known for one in scheme.by_length},
        key=lambda span: span[0],
    )

    def paint(axes: Axes) -> None:
        axes.axhline(0, color=INK, linewidth=1)
        for index, scheme in enumerate(known):
            shift = 0.8 * ((index + 0.5) / len(known) - 0.5)
            at = [spans.index((one.from_s, one.to_s)) + shift for one in scheme.by_length]
            style = styles[scheme.name]
            low = [100 * one.delta_low for one in scheme.by_length]
            high = [100 * one.delta_high for one in scheme.by_length]
            axes.vlines(at, low, high, color=style["color"], linewidth=1.2)
            delta = [100 * one.delta for one in scheme.by_length]
            axes.plot(at, delta, linestyle="", label=scheme.name, **style)
        axes.set_xticks(range(len(spans)), [seconds_range(*span) for span in spans])
        axes.set_xlim(-0.5, len(spans) - 0.5)
        axes.tick_params(axis="x", length=0)
        axes.set_title("WER minus PyTorch, points")

    return _plot("length", title, paint, "Bars: intervals of the paired difference.")


def _divergence_by_layer(graphs: Sequence[Scheme], styles: Styles) -> Plot:
    title = "KL by layer"
    known = [scheme for scheme in graphs if any(one.kl_mean > 0 for one in scheme.layers)]
    if not known:
        return Plot(title, None, "No scheme was measured layer by layer.")
    layers = list(dict.fromkeys(one.layer for scheme in known for one in scheme.layers))
    numbers = [_LAYER.search(layer) for layer in layers]
    numbered = [found is not None for found in numbers]

    def paint(axes: Axes) -> None:
        for scheme in known:
            found = {one.layer: one.kl_mean or math.nan for one in scheme.layers}
            values = [found.get(layer, math.nan) for layer in layers]
            style = styles[scheme.name]
            # Layers follow each other, other parts do not.
            line = [value if yes else math.nan for value, yes in zip(values, numbered, strict=True)]
            axes.plot(line, color=style["color"], linewidth=1.2)
            axes.plot(values, linestyle="", markersize=4.5, label=scheme.name, **style)
        _layer_ticks(axes, layers, numbers)
        _log_values(axes)
        axes.set_title("mean KL, nats")

    return _plot(
        "layers",
        title,
        paint,
        "The fp32 model with only this layer's weights as the scheme stores them.",
    )


def _layer_ticks(
    axes: Axes, layers: Sequence[str], numbers: Sequence[re.Match[str] | None]
) -> None:
    every = -(-len(layers) // _TICKED_LAYERS)
    labels = {
        at: found[1] if found else layer.rpartition("/")[2]
        for at, (layer, found) in enumerate(zip(layers, numbers, strict=True))
        if found is None or int(found[1]) % every == 0
    }
    axes.set_xticks(list(labels), list(labels.values()))
    for text in axes.get_xticklabels():
        if not text.get_text().isdigit():
            text.set(rotation=90, rotation_mode="anchor", ha="right", va="center")


def _error_by_chunk(graphs: Sequence[Scheme], styles: Styles) -> Plot:
    title = "Encoder error by chunk"
    long = any(scheme.long_form for scheme in graphs)
    errors = {scheme.name: _chunk_errors(scheme, long=long) for scheme in graphs}
    known = {name: values for name, values in errors.items() if any(values)}
    if not known:
        return Plot(title, None, "No encodings were compared.")
    span = -(-max(map(len, known.values())) // _POINTS)

    def paint(axes: Axes) -> None:
        for name, values in known.items():
            starts = range(0, len(values), span)
            largest = [max(values[start : start + span]) or math.nan for start in starts]
            every = max(1, len(largest) // 8)
            axes.plot(starts, largest, linewidth=1.2, markevery=every, label=name, **styles[name])
        _log_values(axes)
        axes.set_xlabel("chunk")
        axes.set_title("largest absolute error")

    source = "One recording of minutes" if long else "The utterances compared deeply"
    grouped = f"; each point is the largest error of {span} chunks" if span > 1 else ""
    return _plot("chunks", title, paint, f"{source}, against PyTorch{grouped}.")


def _chunk_errors(scheme: Scheme, *, long: bool) -> list[float]:
    if long:
        return scheme.long_form.encoder_errors if scheme.long_form else []
    return scheme.parity.encoder_max_abs_error_by_chunk if scheme.parity else []


def _log_values(axes: Axes) -> None:
    """A logarithmic axis of values whose ticks are powers of ten, few enough to be read."""
    axes.set_yscale("log")
    low, high = (math.log10(end) for end in axes.get_ylim())
    if high - low < 1:  # There might be no tick within.
        low, high = math.floor(low), math.ceil(high)
        axes.set_ylim(10.0**low, 10.0**high)
    powers = range(math.ceil(low), math.floor(high) + 1)
    every = -(-len(powers) // 7)
    axes.yaxis.set_major_locator(FixedLocator([10.0**power for power in powers[::every]]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"1e{math.log10(value):.0f}"))
