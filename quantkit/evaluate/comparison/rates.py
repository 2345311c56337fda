"""Word error rates of all systems, by set and as their average, with paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from quantkit.evaluate.bootstrap import Estimate, mean, rates
from quantkit.evaluate.comparison.evaluated import Evaluated
from quantkit.report.schema import Rate, SetRate, Statistics


@dataclass(frozen=True)
class WordRates:
    """Word error rates, or differences of them, by set and as the average of the sets."""

    sets: Mapping[str, Estimate]
    macro: Estimate

    def __sub__(self, other: WordRates) -> WordRates:
        sets = {name: rate - other.sets[name] for name, rate in self.sets.items()}
        return WordRates(sets, self.macro - other.macro)


def word_rates(
    evaluated: Evaluated, names: Sequence[str], statistics: Statistics
) -> dict[str, WordRates]:
    """The rates of the named systems, on the same draws."""
    errors = np.array([evaluated.word_errors[name] for name in names])
    by_set = {
        name: rates(
            errors[:, part],
            evaluated.words[part],
            resamples=statistics.resamples,
            seed=statistics.seed,
            name=name,
        )
        for name, part in evaluated.sets.items()
    }
    found = {}
    for index, system in enumerate(names):
        sets = {name: estimates[index] for name, estimates in by_set.items()}
        found[system] = WordRates(sets, mean(list(sets.values())))
    return found


def macro_rate(rates: WordRates, difference: WordRates | None, statistics: Statistics) -> Rate:
    """The report's entry over all sets; `difference` is from the row's counterpart."""
    return _rate(rates.macro, difference.macro if difference else None, statistics)


def set_rates(
    evaluated: Evaluated,
    system: str,
    rates: WordRates,
    difference: WordRates | None,
    statistics: Statistics,
) -> dict[str, SetRate]:
    """The report's entries by set."""
    found = {}
    for name, part in evaluated.sets.items():
        records = evaluated.records[system][part]
        errors = [record.words for record in records if record.words is not None]
        rate = _rate(rates.sets[name], difference.sets[name] if difference else None, statistics)
        found[name] = SetRate(
            **rate.model_dump(),
            utterances=len(records),
            words=sum(words.words for words in errors),
            substitutions=sum(words.substitutions for words in errors),
            deletions=sum(words.deletions for words in errors),
            insertions=sum(words.insertions for words in errors),
        )
    return found


def _rate(rate: Estimate, difference: Estimate | None, statistics: Statistics) -> Rate:
    low, high = rate.interval(statistics.confidence)
    if difference is None:
        return Rate(
            wer=rate.value,
            low=low,
            high=high,
            delta=None,
            delta_low=None,
            delta_high=None,
            p_value=None,
            minimum_detectable=None,
        )
    delta_low, delta_high = difference.interval(statistics.confidence)
    return Rate(
        wer=rate.value,
        low=low,
        high=high,
        delta=difference.value,
        delta_low=delta_low,
        delta_high=delta_high,
        p_value=difference.p_value(),
        minimum_detectable=difference.minimum_detectable(statistics.confidence, statistics.power),
    )
