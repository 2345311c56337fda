"""The whole comparison: build, evaluate, measure, judge, write."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quantkit.bench.machine import usable_cores
from quantkit.build.comparison.arrange import build_gates, mode_systems, rows_of, systems_of
from quantkit.build.comparison.entries import Entry, load_entries
from quantkit.build.comparison.groups import ChunkGroup, Scheme, build_groups
from quantkit.build.comparison.layers import layers
from quantkit.build.comparison.speed import BenchTarget, Conditions, measure
from quantkit.build.progress import StageProgress
from quantkit.build.speech import check_judged
from quantkit.build.store import Store
from quantkit.core.text import one_line, printable
from quantkit.core.versions import library_versions
from quantkit.evaluate.bootstrap import CONFIDENCE, POWER, RESAMPLES, SEED
from quantkit.evaluate.comparison.assemble import assemble
from quantkit.evaluate.comparison.baseline import load_report, regressions
from quantkit.evaluate.comparison.evaluated import collect, describe_suite
from quantkit.evaluate.comparison.gates import chain_gates, judge
from quantkit.evaluate.comparison.worst import worst_utterances
from quantkit.evaluate.evaluation import evaluate
from quantkit.evaluate.gather import gather
from quantkit.evaluate.system import NemoSystem, System
from quantkit.evaluate.workers import Workers
from quantkit.recipe.load import located
from quantkit.recipe.suite import SuiteSettings
from quantkit.recipe.suite_file import load_suite
from quantkit.report.schema import Bench, LayerDivergence, Report, Statistics
from quantkit.report.write import write_report
from quantkit.runtime.settings import StreamingSettings
from quantkit.speech.utterances import Gathered, SuiteUtterance

#: Of the audio that whole recognizers are timed on; the utterance nearest to it is taken.
TIMED_S = 10.0
_VERSIONS = (
    "quantkit",
    "onnxruntime",
    "numpy",
    "torch",
    "nemo_toolkit",
    "kaldialign",
    "whisper-normalizer",
)


@dataclass(frozen=True)
class Request:
    """What to compare.

    Attributes:
        recipes: YAML files of one checkpoint.
        overrides: KEY=VALUE put over each of them.
        chunks_ms: chunk lengths instead of the recipes' own.
        suite: a YAML file, a speech manifest, or a folder.
        baseline: report.json of an accepted comparison.
        speed: whether speed and memory are measured.
        workers: who evaluates.
        artifacts: directory of the artifacts.
    """

    recipes: Sequence[Path]
    overrides: Sequence[str]
    chunks_ms: Sequence[int]
    suite: Path
    baseline: Path | None
    speed: bool
    workers: Workers
    artifacts: Path

    @property
    def command(self) -> str:
        """The command line that asks for the same numbers."""
        words = ["quantkit", "compare", *map(str, self.recipes), "--suite", str(self.suite)]
        words += [word for override in self.overrides for word in ("--set", override)]
        words += [word for length in self.chunks_ms for word in ("--chunk-ms", str(length))]
        return shlex.join(words)


def compare(request: Request, out: Path, store: Store, progress: StageProgress) -> Report:
    """Compare schemes and write the report's files into `out`.

    What was built, decoded, evaluated or measured before is not done again.

    Returns:
        The report. Gates that failed and sets that could not be used are in it.

    Raises:
        InputError: a recipe, the suite, the baseline or something that they name is wrong.
        MissingExtraError: a library of an extra is not installed.
    """
    entries = load_entries(request.recipes, request.overrides, request.chunks_ms)
    suite = load_suite(request.suite)
    baseline = load_report(request.baseline) if request.baseline else None
    groups = build_groups(entries, request.artifacts, store, progress)
    rate = StreamingSettings.load(groups[0].floats.fused.directory).sample_rate
    gathered = gather(suite, store.root / "speech", rate, progress)
    _refuse_calibrated(entries, suite, gathered, store, progress)
    report = _evaluated(request, suite, groups, gathered, store, progress)
    if baseline is not None:
        gates = [*report.gates, *regressions(report, baseline, suite.regression)]
        report = report.model_copy(update={"gates": gates})
    worst = {entry.digest for entry in report.worst}
    audio = {u.digest: u.audio for u in gathered.utterances if u.digest in worst}
    write_report(report, audio, out)
    return report


def _refuse_calibrated(
    entries: Sequence[Entry],
    suite: SuiteSettings,
    gathered: Gathered,
    store: Store,
    progress: StageProgress,
) -> None:
    judged = [source for utterance in gathered.utterances for source in utterance.sources]
    calibrated = {
        entry.recipe.calibrate: entry
        for entry in reversed(entries)
        if entry.recipe.needs_calibration() or entry.recipe.needs_sensitivity()
    }
    for entry in calibrated.values():
        with located(entry.path, entry.overrides):
            check_judged(entry.recipe, judged, f"suite {suite.name!r}", store, progress)


def _evaluated(
    request: Request,
    suite: SuiteSettings,
    groups: Sequence[ChunkGroup],
    gathered: Gathered,
    store: Store,
    progress: StageProgress,
) -> Report:
    modes = mode_systems(groups, suite.modes)
    utterances = gathered.utterances
    with_long = [*utterances, *([gathered.long_form] if gathered.long_form else [])]
    records = evaluate(
        systems_of(groups, modes), with_long, store.root / "results", request.workers, progress
    )
    timed = min(utterances, key=lambda u: (abs(u.duration_s - TIMED_S), u.digest))

    def speed(group: ChunkGroup, system: System) -> Bench | None:
        return _measured(group, system, timed, store, progress) if request.speed else None

    def damage(group: ChunkGroup, scheme: Scheme) -> tuple[LayerDivergence, ...]:
        return layers(scheme.model, group.floats.fused, utterances, store, progress)

    rows = rows_of(groups, modes, speed, damage)
    statistics = Statistics(confidence=CONFIDENCE, resamples=RESAMPLES, seed=SEED, power=POWER)
    evaluated = collect(records, gathered)
    assembled = assemble(rows, evaluated, groups[0].pytorch.name, statistics)
    schemes = [row.system.name for row in rows if row.role == "scheme"]
    verdict = judge(assembled.measures, dict.fromkeys(schemes, suite.gates))
    versions = library_versions(_VERSIONS)
    normalizer = f"whisper-normalizer {versions['whisper-normalizer']}"
    facts = describe_suite(suite.name, suite.language, normalizer, gathered, evaluated)
    checkpoint = groups[0].floats.checkpoint
    return Report(
        versions=versions,
        command=printable(request.command),
        checkpoint=one_line(f"{checkpoint.name}, sha256 {checkpoint.sha256}"),
        suite=facts.model_copy(update={"problems": [*facts.problems, *verdict.problems]}),
        statistics=statistics,
        reference=groups[0].pytorch.name,
        schemes=assembled.schemes,
        gates=[*chain_gates(assembled.schemes), *build_gates(groups), *verdict.gates],
        worst=worst_utterances(evaluated, rows),
    )


def _measured(
    group: ChunkGroup, system: System, timed: SuiteUtterance, store: Store, progress: StageProgress
) -> Bench:
    fused = group.floats.fused
    if isinstance(system, NemoSystem):
        target = BenchTarget(system.checkpoint, system.checkpoint_sha256)
    else:
        target = BenchTarget(system.model, system.model_sha256)
    conditions = Conditions(
        fp32=BenchTarget(fused.directory, fused.sha256),
        chunk_ms=group.chunk_ms,
        audio=BenchTarget(timed.audio, timed.digest),
        threads=usable_cores(),
        kept=store.root / "speed",
    )
    return measure(system.name, target, conditions, progress)
