"""Plots of divergences from PyTorch: where a scheme hurts, and whether errors grow."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import accumulate, pairwise

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from quantkit.report.schema import Scheme
from quantkit.report.svg import Plot, Styles, draw

#: Points of a line; longer recordings show the largest error of neighbouring chunks.
_POINTS = 120
_TICKED_LAYERS = 16
_LAYER = re.compile(r"\blayers\.(\d+)$")


def divergence_by_layer(graphs: Sequence[Scheme], styles: Styles) -> Plot:
    """Mean KL of each layer alone, a line for each scheme."""
    title = "KL by layer"
    known = [scheme for scheme in graphs if any(one.kl_mean > 0 for one in scheme.layers)]
    if not known:
        return Plot(title, None, "No scheme was measured layer by layer.")
    layers = list(dict.fromkeys(one.layer for scheme in known for one in scheme.layers))
    numbers = [_LAYER.search(layer) for layer in layers]
    numbered = [found is not None for found in numbers]
    places = _layer_places(numbered)

    def paint(axes: Axes) -> None:
        for scheme in known:
            found = {one.layer: one.kl_mean or math.nan for one in scheme.layers}
            values = [found.get(layer, math.nan) for layer in layers]
            style = styles[scheme.name]
            # Layers follow each other, other parts do not.
            line = [value if yes else math.nan for value, yes in zip(values, numbered, strict=True)]
            axes.plot(places, line, color=style["color"], linewidth=1.2)
            axes.plot(places, values, linestyle="", markersize=4.5, label=scheme.name, **style)
        _layer_ticks(axes, places, layers, numbers)
        _log_values(axes)
        axes.set_title("mean KL, nats")

    return draw(
        "layers",
        title,
        paint,
        "The fp32 model with only this layer's weights as the scheme stores them.",
    )


def _layer_places(numbered: Sequence[bool]) -> list[float]:
    """Where layers stand: one apart, parts with a name far enough for that to be written."""
    named = max(1.0, len(numbered) / 20)
    gaps = [(a + b) / 2 for a, b in pairwise(1.0 if yes else named for yes in numbered)]
    return list(accumulate(gaps, initial=0.0))


def _layer_ticks(
    axes: Axes,
    places: Sequence[float],
    layers: Sequence[str],
    numbers: Sequence[re.Match[str] | None],
) -> None:
    every = -(-len(layers) // _TICKED_LAYERS)
    labels = {
        place: found[1] if found else layer.rpartition("/")[2]
        for place, layer, found in zip(places, layers, numbers, strict=True)
        if found is None or int(found[1]) % every == 0
    }
    axes.set_xticks(list(labels), list(labels.values()))
    for text in axes.get_xticklabels():
        if not text.get_text().isdigit():
            text.set(rotation=90, rotation_mode="anchor", ha="right", va="center")


def error_by_chunk(graphs: Sequence[Scheme], styles: Styles) -> Plot:
    """Largest encoder error of each chunk of a long recording or, without one, of utterances."""
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
    return draw("chunks", title, paint, f"{source}, against PyTorch{grouped}.")


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
