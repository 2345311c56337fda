"""Token errors between systems: what each step of a chain changed, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from quantkit.evaluate.bootstrap import Estimate, rates
from quantkit.evaluate.comparison.evaluated import Evaluated
from quantkit.evaluate.comparison.rows import ReportRow
from quantkit.evaluate.parity import token_distance
from quantkit.report.schema import Link, Statistics

Pair = tuple[str, str]
"""A system, and the one that is held against it."""


@dataclass(frozen=True)
class TokenErrors:
    """Of a pair of systems.

    Attributes:
        errors: the edit distance of each utterance. [n]
        sizes: tokens of the pair's first. [n]
        exact: which utterances have the same tokens. [n]
    """

    errors: NDArray[np.int64]
    sizes: NDArray[np.int64]
    exact: NDArray[np.bool_]


def token_errors(evaluated: Evaluated, rows: Sequence[ReportRow]) -> dict[Pair, TokenErrors]:
    """Of every step of every chain, and of every row against the start of its chain."""
    chains = [row.chain for row in rows if row.role != "pytorch"]
    steps = [pair for chain in chains for pair in [(chain[0], chain[-1]), *pairwise(chain)]]
    pairs = list(dict.fromkeys(steps))
    # Utterance by utterance, where steps that change nothing leave the same distance to others.
    records = evaluated.records
    errors = np.array(
        [
            [token_distance(records[a][index], records[b][index]) for a, b in pairs]
            for index in range(len(evaluated.utterances))
        ]
    )
    found = {}
    for pair, column in zip(pairs, errors.T, strict=True):
        sizes = np.array([len(record.tokens) for record in evaluated.records[pair[0]]])
        found[pair] = TokenErrors(column, sizes, column == 0)
    return found


def links(evaluated: Evaluated, row: ReportRow, found: Mapping[Pair, TokenErrors]) -> list[Link]:
    """What each step from PyTorch to the row changed, alone."""
    steps = ("export", "fusion", "quantization")
    words = evaluated.word_errors
    # A row that is made in fewer steps has fewer links.
    return [
        Link(
            step=step,
            utterances=len(found[a, b].errors),
            token_exact_utterances=int(found[a, b].exact.sum()),
            reference_tokens=int(found[a, b].sizes.sum()),
            token_errors=int(found[a, b].errors.sum()),
            word_errors_added=int((words[b] - words[a]).sum()),
        )
        for step, (a, b) in zip(steps, pairwise(row.chain), strict=False)
    ]


@dataclass(frozen=True)
class TokenRates:
    """Of one row against PyTorch, utterances of all sets together.

    Attributes:
        errors: token edits per token of PyTorch; None where PyTorch said nothing.
        exact: share of utterances with the same tokens.
    """

    errors: Estimate | None
    exact: Estimate


def token_rates(
    found: Mapping[Pair, TokenErrors], pairs: Sequence[Pair], statistics: Statistics
) -> dict[Pair, TokenRates]:
    """Both rates of every pair, on the same draws."""
    if not pairs:
        return {}
    spoken = [pair for pair in pairs if found[pair].sizes.any()]
    ones = np.ones(len(found[pairs[0]].errors))
    counts = [*(found[pair].exact for pair in pairs), *(found[pair].errors for pair in spoken)]
    sizes = [*(ones for _ in pairs), *(found[pair].sizes for pair in spoken)]
    estimates = rates(
        np.array(counts, np.float64),
        np.array(sizes, np.float64),
        resamples=statistics.resamples,
        seed=statistics.seed,
        name="tokens",
    )
    errors = dict(zip(spoken, estimates[len(pairs) :], strict=True))
    return {
        pair: TokenRates(errors.get(pair), exact)
        for pair, exact in zip(pairs, estimates[: len(pairs)], strict=True)
    }
