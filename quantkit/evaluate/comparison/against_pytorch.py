"""A row against PyTorch in chunks of the same length: tokens, distributions, encodings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from quantkit.evaluate.bootstrap import Estimate
from quantkit.evaluate.comparison.evaluated import Evaluated
from quantkit.evaluate.comparison.measures import Measures, divergences
from quantkit.evaluate.comparison.rows import ReportRow
from quantkit.evaluate.comparison.tokens import Pair, TokenErrors
from quantkit.evaluate.parity import largest_by_chunk, token_distance
from quantkit.evaluate.record import Divergence
from quantkit.report.schema import Divergences, LongForm, Parity, Statistics


def parity(
    evaluated: Evaluated,
    row: ReportRow,
    errors: Mapping[Pair, TokenErrors],
    measures: Measures,
    statistics: Statistics,
) -> Parity:
    """The report's entry of a row of graphs; the long form is not in it."""
    tokens = errors[row.chain[0], row.system.name]
    found = divergences(evaluated, row.system.name)
    rate, kl = measures.tokens.errors, measures.kl_mean
    low, high = rate.interval(statistics.confidence) if rate else (None, None)
    by_chunk = largest_by_chunk(found.values())
    return Parity(
        reference=row.chain[0],
        utterances=len(tokens.errors),
        token_exact_utterances=int(tokens.exact.sum()),
        reference_tokens=int(tokens.sizes.sum()),
        token_errors=int(tokens.errors.sum()),
        token_error_rate=rate.value if rate else None,
        token_error_rate_low=low,
        token_error_rate_high=high,
        deep_utterances=len(found),
        near_tie_errors=sum(
            int(tokens.errors[index]) for index, divergence in found.items() if divergence.near_tie
        ),
        decisions=sum(len(divergence.kl) for divergence in found.values()),
        kl=_kl(list(found.values()), kl, statistics) if kl else None,
        encoder_max_abs_error=max(by_chunk, default=None),
        encoder_max_abs_error_by_chunk=by_chunk,
    )


def long_form(evaluated: Evaluated, row: ReportRow) -> LongForm | None:
    """The report's entry of the recording of minutes; None without one compared deeply."""
    if evaluated.long_form is None:
        return None
    records = evaluated.long_form.records
    reference, found = records[row.chain[0]], records[row.system.name]
    if found.divergence is None:
        return None
    return LongForm(
        duration_s=evaluated.long_form.duration_s,
        reference_tokens=len(reference.tokens),
        token_errors=token_distance(reference, found),
        encoder_errors=found.divergence.encoder_errors,
    )


def _kl(found: Sequence[Divergence], mean: Estimate, statistics: Statistics) -> Divergences:
    kl = np.concatenate([divergence.kl for divergence in found])
    low, high = mean.interval(statistics.confidence)
    return Divergences(
        mean=mean.value,
        mean_low=low,
        mean_high=high,
        p99=float(np.quantile(kl, 0.99)),
        max=float(kl.max()),
    )
