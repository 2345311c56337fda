"""What gates are judged by: estimates of a row against PyTorch in chunks of the same length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quantkit.evaluate.bootstrap import Estimate, rates
from quantkit.evaluate.comparison.evaluated import Evaluated
from quantkit.evaluate.comparison.rates import WordRates
from quantkit.evaluate.comparison.rows import ReportRow
from quantkit.evaluate.comparison.tokens import Pair, TokenErrors, TokenRates, token_rates
from quantkit.evaluate.record import Divergence
from quantkit.report.schema import Statistics


@dataclass(frozen=True)
class Measures:
    """Of one row of graphs.

    Attributes:
        wer_difference: word error rates minus PyTorch's.
        tokens: of all sets together.
        kl_mean: of the utterances compared deeply; None where no decision was.
    """

    wer_difference: WordRates
    tokens: TokenRates
    kl_mean: Estimate | None


def measure(
    rows: Sequence[ReportRow],
    evaluated: Evaluated,
    words: Mapping[str, WordRates],
    errors: Mapping[Pair, TokenErrors],
    statistics: Statistics,
) -> dict[str, Measures]:
    """The measures of every row with a chain, by the row's name."""
    pairs = {
        row.system.name: (row.chain[0], row.system.name) for row in rows if row.role != "pytorch"
    }
    tokens = token_rates(errors, list(pairs.values()), statistics)
    return {
        name: Measures(
            words[name] - words[pair[0]], tokens[pair], _kl_mean(evaluated, name, statistics)
        )
        for name, pair in pairs.items()
    }


def divergences(evaluated: Evaluated, system: str) -> dict[int, Divergence]:
    """By index, of the utterances that the suite compares deeply.

    Kept records may hold more, from suites that compared more.
    """
    pairs = zip(evaluated.utterances, evaluated.records[system], strict=True)
    return {
        index: record.divergence
        for index, (utterance, record) in enumerate(pairs)
        if utterance.deep and record.divergence is not None
    }


def _kl_mean(evaluated: Evaluated, system: str, statistics: Statistics) -> Estimate | None:
    kl = [divergence.kl for divergence in divergences(evaluated, system).values()]
    if not any(kl):
        return None
    [estimate] = rates(
        [sum(values) for values in kl],
        [len(values) for values in kl],
        resamples=statistics.resamples,
        seed=statistics.seed,
        name="distributions",
    )
    return estimate
