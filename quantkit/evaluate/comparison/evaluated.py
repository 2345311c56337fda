"""What all systems said about a suite, in the order of its utterances; the suite's facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantkit.core.files import sha256_json
from quantkit.evaluate.record import Record
from quantkit.report.schema import Excluded, Suite, SuiteSet
from quantkit.speech.utterances import Gathered, SuiteUtterance


@dataclass(frozen=True)
class LongRecording:
    """The recording of minutes: its length and what each system said."""

    duration_s: float
    records: Mapping[str, Record]


@dataclass(frozen=True)
class Evaluated:
    """Records of n utterances in sets, one set after the other; the long form stands apart.

    Attributes:
        utterances: of all sets. [n]
        sets: the part of the utterances that each set is.
        records: by system. [n] each
        words: in each utterance's text. float64 [n]
        word_errors: by system. float64 [n] each
        long_form: None where the suite has none.
    """

    utterances: Sequence[SuiteUtterance]
    sets: Mapping[str, slice]
    records: Mapping[str, Sequence[Record]]
    words: NDArray[np.float64]
    word_errors: Mapping[str, NDArray[np.float64]]
    long_form: LongRecording | None


def collect(records: Mapping[str, Sequence[Record]], gathered: Gathered) -> Evaluated:
    """Records by system, each in the order of the suite with the long form last, as arrays.

    Systems that nothing is compared with token by token may have none of the long form.

    Raises:
        ValueError: records of a system are not of the suite's utterances, in their order.
    """
    utterances = gathered.utterances
    long = gathered.long_form
    digests = [utterance.digest for utterance in (*utterances, *([long] if long else []))]
    n = len(utterances)
    for name, found in records.items():
        if [record.utterance for record in found] not in (digests, digests[:n]):
            raise ValueError(f"{name}: records of other utterances, or in another order")
    short = {name: found[:n] for name, found in records.items()}
    # The words of a text are the same whoever is scored against it.
    some = next(iter(short.values()))
    return Evaluated(
        utterances,
        _slices({name: len(found.utterances) for name, found in gathered.sets.items()}),
        short,
        np.array([record.words.words if record.words else 0 for record in some], np.float64),
        {
            name: np.array(
                [record.words.total if record.words else 0 for record in found], np.float64
            )
            for name, found in short.items()
        },
        LongRecording(
            long.duration_s, {name: found[n] for name, found in records.items() if found[n:]}
        )
        if long
        else None,
    )


def _slices(lengths: Mapping[str, int]) -> dict[str, slice]:
    slices, begin = {}, 0
    for name, length in lengths.items():
        slices[name] = slice(begin, begin + length)
        begin += length
    return slices


def describe_suite(
    name: str, language: str, normalizer: str, gathered: Gathered, evaluated: Evaluated
) -> Suite:
    """The suite's facts; `normalizer` is the text normalizer's name and version."""
    return Suite(
        name=name,
        language=language,
        normalizer=normalizer,
        sets={
            key: SuiteSet(
                source=found.source,
                revision=found.revision,
                utterances=len(found.utterances),
                words=int(evaluated.words[evaluated.sets[key]].sum()),
                duration_s=sum(utterance.duration_s for utterance in found.utterances),
                digest=sha256_json([utterance.digest for utterance in found.utterances]),
                excluded=[
                    Excluded(id=exclusion.id, reason=exclusion.reason)
                    for exclusion in found.exclusions
                ],
            )
            for key, found in gathered.sets.items()
        },
        problems=list(gathered.problems),
    )
