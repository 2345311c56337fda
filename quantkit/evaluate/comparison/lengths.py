"""Word error rates by the length of the utterance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from quantkit.evaluate.bootstrap import Estimate, rates
from quantkit.evaluate.comparison.evaluated import Evaluated
from quantkit.report.schema import LengthRate, Statistics

#: Shortest utterances of each bucket, in seconds. Below two, the first chunks are most of the
#: utterance; 5.6 s is the left context in chunks of 560 ms, from which on the caches are full.
BOUNDS_S = (0.0, 2.0, 5.6, 15.0)


def by_length(
    evaluated: Evaluated, counterparts: Mapping[str, str], statistics: Statistics
) -> dict[str, list[LengthRate]]:
    """Rates and differences of each system, utterances of all sets together.

    Args:
        evaluated: the records.
        counterparts: of each system, the one whose errors are subtracted; the reference has itself,
            so that its differences are zero.
        statistics: how intervals are computed.

    Returns:
        By system, the buckets in which there is a word.
    """
    durations = np.array([utterance.duration_s for utterance in evaluated.utterances])
    names = list(dict.fromkeys([*counterparts, *counterparts.values()]))
    found: dict[str, list[LengthRate]] = {name: [] for name in counterparts}
    for from_s, to_s in zip(BOUNDS_S, [*BOUNDS_S[1:], None], strict=True):
        inside = (durations >= from_s) & (durations < (np.inf if to_s is None else to_s))
        if not evaluated.words[inside].any():
            continue
        estimates = _estimates(evaluated, names, inside, from_s, statistics)
        for name, other in counterparts.items():
            difference = estimates[name] - estimates[other]
            low, high = difference.interval(statistics.confidence)
            found[name].append(
                LengthRate(
                    from_s=from_s,
                    to_s=to_s,
                    utterances=int(inside.sum()),
                    words=int(evaluated.words[inside].sum()),
                    wer=estimates[name].value,
                    delta=difference.value,
                    delta_low=low,
                    delta_high=high,
                )
            )
    return found


def _estimates(
    evaluated: Evaluated,
    names: Sequence[str],
    inside: NDArray[np.bool_],
    from_s: float,
    statistics: Statistics,
) -> dict[str, Estimate]:
    estimates = rates(
        np.array([evaluated.word_errors[name][inside] for name in names]),
        evaluated.words[inside],
        resamples=statistics.resamples,
        seed=statistics.seed,
        name=f"from {from_s} s",
    )
    return dict(zip(names, estimates, strict=True))
