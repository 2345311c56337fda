"""Utterances cut into shards: what is evaluated by one worker, and kept or lost, as a whole."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from quantkit.core.files import sha256_json
from quantkit.evaluate.system import System
from quantkit.speech.utterances import SuiteUtterance

#: About the cost of a shard. Small enough to lose one, large enough to open a model for it.
SHARD_S = 120.0
#: What an utterance costs besides its length, in seconds of audio.
UTTERANCE_S = 0.5


@dataclass(frozen=True)
class Shard:
    """Utterances of one set that a system has to be evaluated on.

    `results` is the name of the directory of the system's results.
    """

    system: System
    results: str
    utterances: tuple[SuiteUtterance, ...]

    @cached_property
    def name(self) -> str:
        """The same for the same utterances, whoever evaluates them."""
        return sha256_json([[utterance.digest, utterance.deep] for utterance in self.utterances])

    @property
    def key(self) -> tuple[str, str]:
        """The same for the same work: the names of the directory and of the part."""
        return self.results, self.name

    @property
    def duration_s(self) -> float:
        """Seconds of audio."""
        return sum(utterance.duration_s for utterance in self.utterances)

    def __str__(self) -> str:
        first, last = self.utterances[0], self.utterances[-1]
        return f"{self.system.name} on set {first.set_name}, utterances {first.id} to {last.id}"


def cut(utterances: Sequence[SuiteUtterance]) -> list[tuple[SuiteUtterance, ...]]:
    """Each set in pieces of about the same cost, near `SHARD_S`; the order is kept.

    Cut everything and leave out of each piece what is known: then the cuts, and so the names of
    shards, do not depend on how far an earlier run came.
    """
    sets: dict[str, list[SuiteUtterance]] = {}
    for utterance in utterances:
        sets.setdefault(utterance.set_name, []).append(utterance)
    return [piece for members in sets.values() for piece in _cut_set(members)]


def _cut_set(utterances: Sequence[SuiteUtterance]) -> list[tuple[SuiteUtterance, ...]]:
    costs = np.array([utterance.duration_s + UTTERANCE_S for utterance in utterances])
    ends = np.cumsum(costs)
    count = math.ceil(ends[-1] / SHARD_S)
    # An utterance belongs to the piece that its middle falls into.
    pieces = ((ends - costs / 2) / ends[-1] * count).astype(np.int64)
    bounds = np.searchsorted(pieces, np.arange(count + 1))
    parts = [tuple(utterances[a:b]) for a, b in itertools.pairwise(bounds)]
    return [part for part in parts if part]
