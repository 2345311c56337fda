"""Every system on every utterance: what is kept is read, what is missing is evaluated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from quantkit.core.progress import Progress
from quantkit.evaluate.record import Record
from quantkit.evaluate.results import Results
from quantkit.evaluate.shards import Shard, cut
from quantkit.evaluate.system import GraphSystem, NemoSystem, System
from quantkit.evaluate.workers import Workers, finish
from quantkit.speech.utterances import SuiteUtterance

Work = Mapping[Results, tuple[System, list[SuiteUtterance]]]
"""What each system has to be evaluated on, by where its results are."""

#: A process that runs PyTorch takes many seconds to start. This much audio makes up for it.
NEMO_WORKER_S = 240.0


def evaluate(
    systems: Sequence[System],
    utterances: Sequence[SuiteUtterance],
    results: Path,
    workers: Workers,
    progress: Progress,
) -> dict[str, list[Record]]:
    """The records of every system, in the order of the utterances, by the system's name.

    PyTorch comes first, because graphs are compared with it. A shard's records are kept as soon as
    it is evaluated, so that a killed run goes on from there.

    Args:
        systems: with names of their own. The PyTorch streaming that graphs are compared with is
            evaluated as far as that needs it, whether it is among them or not.
        utterances: their audio is read only where something is missing. Those without a text are
            compared token by token; PyTorch in a mode that no graphs are compared with leaves
            them out, also from its records.
        results: directory of the kept results; suites, recipes and processes may share it.
        workers: who evaluates.
        progress: draws it, shard by shard.

    Raises:
        InputError: a model, a recording or a kept result is damaged, or workers cannot be used or
            are killed again and again.
        MissingExtraError: a library is not installed.
    """
    distinct = _distinct(utterances)
    graphs = {Results.of(s, results): s for s in systems if isinstance(s, GraphSystem)}
    kept = _complete(_nemo_work(systems, distinct, results), results, workers, progress, "PyTorch")
    work = {at: (graph, distinct) for at, graph in graphs.items()}
    kept |= _complete(work, results, workers, progress, "graphs")
    by_system = {system.name: kept[Results.of(system, results)] for system in systems}
    return {
        name: [_as_asked(records[u.digest], u) for u in utterances if u.digest in records]
        for name, records in by_system.items()
    }


def _distinct(utterances: Sequence[SuiteUtterance]) -> list[SuiteUtterance]:
    """Each utterance once, deep if it is so anywhere."""
    distinct: dict[str, SuiteUtterance] = {}
    for utterance in utterances:
        known = distinct.get(utterance.digest)
        if known is None or (utterance.deep and not known.deep):
            distinct[utterance.digest] = utterance
    return list(distinct.values())


def _nemo_work(systems: Sequence[System], utterances: list[SuiteUtterance], root: Path) -> Work:
    """PyTorch on all utterances, deep for graphs; if only graphs need it, on the deep ones.

    In other modes it is only scored.
    """
    references = {
        Results.of(system.reference, root): system.reference
        for system in systems
        if isinstance(system, GraphSystem)
    }
    deep = [utterance for utterance in utterances if utterance.deep]
    scored = [replace(u, deep=False) for u in utterances if u.text is not None]
    work: dict[Results, tuple[System, list[SuiteUtterance]]] = {
        at: (system, deep) for at, system in references.items()
    }
    for system in systems:
        if isinstance(system, NemoSystem):
            at = Results.of(system, root)
            work[at] = (system, utterances if at in references else scored)
    return work


def _complete(
    work: Work, root: Path, workers: Workers, progress: Progress, what: str
) -> dict[Results, dict[str, Record]]:
    """Evaluate what is missing; all kept records of each system by utterance."""
    kept = {at: at.records() for at in work}
    todo = [
        shard
        for at, (system, utterances) in work.items()
        for shard in _missing(at, system, utterances, kept[at])
    ]
    if not todo:
        return kept
    for at, (system, _) in work.items():
        at.describe(system)
    workers = replace(workers, jobs=min(workers.jobs, _worth(todo)))
    for _ in progress.track(finish(todo, root, workers), len(todo), what):
        pass
    return {at: at.records() for at in work}


def _worth(todo: Sequence[Shard]) -> int:
    """How many processes have enough to do to be worth their start."""
    if isinstance(todo[0].system, GraphSystem):
        return len(todo)
    seconds = sum(shard.duration_s for shard in todo)
    return min(len(todo), math.ceil(seconds / NEMO_WORKER_S))


def _missing(
    at: Results, system: System, utterances: Sequence[SuiteUtterance], kept: dict[str, Record]
) -> list[Shard]:
    """The shards that hold what a system has not been evaluated on yet, the longest first."""

    def is_missing(utterance: SuiteUtterance) -> bool:
        record = kept.get(utterance.digest)
        if record is None or not utterance.deep:
            return record is None
        if isinstance(system, GraphSystem):
            return record.divergence is None
        return not at.arrays(utterance.digest).is_file()

    pieces = [tuple(filter(is_missing, piece)) for piece in cut(utterances)]
    shards = [Shard(system, at.directory.name, piece) for piece in pieces if piece]
    return sorted(shards, key=lambda shard: -shard.duration_s)


def _as_asked(record: Record, utterance: SuiteUtterance) -> Record:
    """Whether a record has a divergence must not depend on what was evaluated before."""
    return record if utterance.deep else replace(record, divergence=None)
