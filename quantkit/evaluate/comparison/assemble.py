"""Rows and records into the schemes of a report, and the estimates that gates ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quantkit.evaluate.comparison.against_pytorch import long_form, parity
from quantkit.evaluate.comparison.evaluated import Evaluated
from quantkit.evaluate.comparison.lengths import by_length
from quantkit.evaluate.comparison.measures import Measures, measure
from quantkit.evaluate.comparison.rates import macro_rate, set_rates, word_rates
from quantkit.evaluate.comparison.rows import ReportRow, counterpart
from quantkit.evaluate.comparison.tokens import links, token_errors
from quantkit.evaluate.system import NemoSystem
from quantkit.report.schema import Scheme, Statistics


@dataclass(frozen=True)
class Assembled:
    """The report's schemes, in the order of the rows, and what gates are judged by.

    Attributes:
        schemes: all rows.
        measures: of the rows of graphs, by name.
    """

    schemes: list[Scheme]
    measures: Mapping[str, Measures]


def assemble(
    rows: Sequence[ReportRow], evaluated: Evaluated, reference: str, statistics: Statistics
) -> Assembled:
    """Sum up the records of all rows.

    Args:
        rows: of the report.
        evaluated: records of every system that is a row or stands in the chain of one.
        reference: the row that PyTorch in other modes is compared with.
        statistics: how intervals are computed.
    """
    counterparts = {row.system.name: counterpart(row, reference) for row in rows}
    systems = [*counterparts, *filter(None, counterparts.values())]
    rates = word_rates(evaluated, list(dict.fromkeys(systems)), statistics)
    lengths = by_length(
        evaluated, {name: other or name for name, other in counterparts.items()}, statistics
    )
    errors = token_errors(evaluated, rows)
    measures = measure(rows, evaluated, rates, errors, statistics)
    schemes = []
    for row in rows:
        name, found = row.system.name, measures.get(row.system.name)
        other = counterparts[name]
        difference = rates[name] - rates[other] if other else None
        schemes.append(
            Scheme(
                name=name,
                role=row.role,
                mode=row.system.mode if isinstance(row.system, NemoSystem) else "streaming",
                chunk_ms=row.chunk_ms,
                recipe=row.recipe,
                total_bytes=row.total_bytes,
                bits_per_weight=row.bits_per_weight,
                latency_s=row.latency_s,
                sets=set_rates(evaluated, name, rates[name], difference, statistics),
                macro=macro_rate(rates[name], difference, statistics),
                by_length=lengths[name],
                parity=parity(evaluated, row, errors, found, statistics) if found else None,
                chain=links(evaluated, row, errors),
                long_form=long_form(evaluated, row) if found else None,
                layers=list(row.layers),
                bench=row.bench,
            )
        )
    return Assembled(schemes, measures)
