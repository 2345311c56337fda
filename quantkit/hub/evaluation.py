"""What a comparison says about the artifact that is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from quantkit.bundle.card import WordErrors
from quantkit.core.errors import InputError
from quantkit.evaluate.comparison.baseline import load_report
from quantkit.report.schema import Rate, Report, Scheme

TASK = "automatic-speech-recognition"


@dataclass(frozen=True)
class Evaluation:
    """The row of a report that measured an artifact, and PyTorch's row beside it."""

    report: Report
    scheme: Scheme

    def missed(self) -> list[str]:
        """The gates of the comparison that the artifact did not keep."""
        return [
            f"gate of the comparison missed: {gate.name}: measured {gate.value:.6g}, accepted at "
            f"{'least' if gate.at_least else 'most'} {gate.limit:.6g}"
            for gate in self.report.gates
            if gate.scheme == self.scheme.name and not gate.passed
        ]

    def rates(self) -> list[WordErrors]:
        """A row for each set, and the average over sets."""
        rows = [
            _row(name, rate, rate.utterances, rate.words) for name, rate in self.scheme.sets.items()
        ]
        return [*rows, _row("average", self.scheme.macro, None, None)]

    def results(self) -> list[EvalResult]:
        """The word error rates in the hub's form, in per cent."""
        suite, confidence = self.report.suite, self.report.statistics.confidence
        return [
            EvalResult(
                task_type=TASK,
                # A report names data sets as `ORGANISATION/NAME (CONFIGURATION, SPLIT)`.
                dataset_type=suite.sets[name].source.partition(" (")[0],
                dataset_name=name,
                dataset_config=name,
                dataset_revision=suite.sets[name].revision,
                dataset_args={"utterances": rate.utterances, "words": rate.words},
                metric_type="wer",
                metric_name="WER",
                metric_value=round(100 * rate.wer, 3),
                metric_args={
                    "normalizer": suite.normalizer,
                    "confidence": confidence,
                    "low": round(100 * rate.low, 3),
                    "high": round(100 * rate.high, 3),
                },
            )
            for name, rate in self.scheme.sets.items()
        ]


def find_evaluation(path: Path, manifest: Mapping[str, Any]) -> Evaluation:
    """The row of a report.json that measured the artifact with this manifest.

    Raises:
        InputError: the file is no report, or none of its rows is of this artifact.
    """
    report = load_report(path)
    source, recipe = manifest["source"]["sha256"], manifest["recipe"]
    chunk_ms = recipe.get("model", {}).get("chunk_ms")
    if source not in report.checkpoint:
        raise InputError(
            f"{path}: found a comparison of the checkpoint {report.checkpoint}, accepted: of the "
            f"artifact's, sha256 {source}"
        )
    found = [
        scheme
        for scheme in report.schemes
        if scheme.recipe == recipe["name"] and scheme.chunk_ms == chunk_ms
    ]
    if not found:
        names = ", ".join(sorted({scheme.recipe for scheme in report.schemes if scheme.recipe}))
        raise InputError(
            f"{path}: found recipes {names or 'none'}, accepted: one with {recipe['name']!r} in "
            f"chunks of {chunk_ms} ms; compare with the artifact's recipe"
        )
    if found[0].total_bytes != manifest["total_bytes"]:
        raise InputError(
            f"{path}: schemes: {found[0].name}: found total_bytes {found[0].total_bytes}, the "
            f"manifest says {manifest['total_bytes']}; another build was compared, compare again"
        )
    return Evaluation(report, found[0])


def _row(name: str, rate: Rate, utterances: int | None, words: int | None) -> WordErrors:
    return WordErrors(
        name=name,
        utterances=utterances,
        words=words,
        wer=rate.wer,
        interval=(rate.low, rate.high),
        reference=rate.wer - rate.delta if rate.delta is not None else None,
        delta=rate.delta,
        delta_interval=None
        if rate.delta_low is None or rate.delta_high is None
        else (rate.delta_low, rate.delta_high),
    )
