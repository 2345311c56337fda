"""How long the statistics of a large comparison take: `python -m benchmarks.resampling`."""

from __future__ import annotations

import time

import numpy as np
from rich.console import Console
from threadpoolctl import threadpool_limits

from quantkit.evaluate.bootstrap import RESAMPLES, mean, rates

SETS, UTTERANCES, SYSTEMS = 8, 20_000, 6


def measure() -> float:
    """Seconds on one core for all intervals of six systems on 20,000 utterances in eight sets."""
    chance = np.random.default_rng(0)
    words = chance.integers(1, 40, (SETS, UTTERANCES // SETS))
    errors = chance.binomial(words, 0.1, (SYSTEMS, *words.shape))
    began = time.perf_counter()
    with threadpool_limits(1):
        sets = [rates(errors[:, i], words[i], name=str(i)) for i in range(SETS)]
        for systems in [*sets, [mean(systems) for systems in zip(*sets, strict=True)]]:
            for system in systems:
                difference = system - systems[0]
                system.interval()
                difference.interval()
                difference.p_value()
                difference.minimum_detectable()
    return time.perf_counter() - began


if __name__ == "__main__":
    Console().print(
        f"{measure():.1f} s: {RESAMPLES:,} resamples, {UTTERANCES:,} utterances in {SETS} sets, "
        f"{SYSTEMS} systems, one core"
    )
