"""Tables of word error rates: by set, by kind of error, by length of utterance."""

from __future__ import annotations

from quantkit.report.format import (
    difference,
    error_rate,
    interval,
    number,
    p_value,
    percent,
    points,
    seconds_range,
)
from quantkit.report.schema import Report
from quantkit.report.table import Column, Table

_NAME = Column("scheme", text=True)


def by_set(report: Report) -> Table:
    """Word error rate and difference of every scheme in every set, and on average."""
    names = [*report.suite.sets, "average"]
    titles = ("%", "minus PyTorch, points", "p")
    columns = [_NAME, *(Column(title, name) for name in names for title in titles)]
    rows = []
    for scheme in report.schemes:
        rates = [*(scheme.sets.get(name) for name in report.suite.sets), scheme.macro]
        cells = [
            (error_rate(rate), difference(rate), p_value(rate.p_value)) if rate else ("-",) * 3
            for rate in rates
        ]
        rows.append([scheme.name, *(text for group in cells for text in group)])
    return Table("Word error rate by set, with intervals", columns, rows)


def by_kind(report: Report) -> Table:
    """Substitutions, deletions and insertions of every scheme in every set."""
    kinds = ("substitutions", "deletions", "insertions")
    names = list(report.suite.sets)
    columns = [_NAME, *(Column(kind, name) for name in names for kind in kinds)]
    rows = []
    for scheme in report.schemes:
        rates = [scheme.sets.get(name) for name in names]
        counts = [getattr(rate, kind) if rate else None for rate in rates for kind in kinds]
        rows.append([scheme.name, *(number(count, 0) for count in counts)])
    return Table("Word errors by kind", columns, rows)


def detectable(report: Report) -> Table:
    """The smallest difference from PyTorch that the utterances would show."""
    names = list(report.suite.sets)
    columns = [_NAME, *(Column(f"{name}, points") for name in [*names, "average"])]
    rows = []
    for scheme in report.schemes:
        rates = [*(scheme.sets.get(name) for name in names), scheme.macro]
        smallest = [rate.minimum_detectable if rate else None for rate in rates]
        if any(value is not None for value in smallest):
            rows.append([scheme.name, *(percent(value) for value in smallest)])
    absent = "No minimum detectable difference was computed."
    return Table("Minimum detectable difference from PyTorch", columns, rows, absent)


def by_length(report: Report) -> Table:
    """The difference from PyTorch by the length of utterances."""
    spans = {
        (bucket.from_s, bucket.to_s): bucket
        for scheme in report.schemes
        for bucket in scheme.by_length
    }
    columns = [_NAME] + [
        Column(f"{seconds_range(*span)}, {spans[span].utterances:,} utterances, points")
        for span in sorted(spans, key=lambda span: span[0])
    ]
    rows = []
    for scheme in report.schemes:
        found = {(bucket.from_s, bucket.to_s): bucket for bucket in scheme.by_length}
        cells = [
            points(one.delta) + interval(points(one.delta_low), points(one.delta_high))
            if (one := found.get(span))
            else "-"
            for span in sorted(spans, key=lambda span: span[0])
        ]
        if found:
            rows.append([scheme.name, *cells])
    absent = "No differences by length were computed."
    return Table("WER minus PyTorch's by length of utterance", columns, rows, absent)
