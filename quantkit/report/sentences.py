"""What a report says in words: the verdict, what was left out, and how numbers came about."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from quantkit.report.format import counted
from quantkit.report.schema import Gate, Report


@dataclass(frozen=True)
class Verdict:
    """Whether the gates were kept.

    Attributes:
        passed: no gate was missed and every set could be used.
        headline: both in a few words.
        missed: the gates that were.
    """

    passed: bool
    headline: str
    missed: list[Gate]


def verdict(report: Report) -> Verdict:
    """Sum up gates and sets."""
    missed = [gate for gate in report.gates if not gate.passed]
    total = len(report.gates)
    if missed:
        headline = f"Failed: {len(missed)} of {counted(total, 'gate')} missed"
    elif report.gates:
        headline = f"Passed: {counted(total, 'gate')} kept"
    else:
        headline = "No gates were set"
    unusable = len(report.suite.problems)
    if unusable:
        headline += f"; {counted(unusable, 'set')} could not be used"
    return Verdict(not missed and not unusable, headline, missed)


def shortfall(gate: Gate) -> str:
    """A missed gate in a few words."""
    return f"{gate.name} of {gate.scheme} by {abs(gate.margin):.3g}"


def title(report: Report) -> str:
    """What the report is about, in a few words."""
    schemes = sum(scheme.role == "scheme" for scheme in report.schemes)
    return f"{counted(schemes, 'scheme')} on {report.suite.name}, compared with PyTorch"


def scope(report: Report) -> str:
    """What was evaluated, in a line."""
    sets = report.suite.sets.values()
    utterances, words = sum(part.utterances for part in sets), sum(part.words for part in sets)
    minutes = sum(part.duration_s for part in sets) / 60
    length = f"{minutes / 60:,.1f} hours" if minutes >= 120 else f"{minutes:,.1f} minutes"
    return (
        f"Suite {report.suite.name} ({report.suite.language}): {counted(len(sets), 'set')}, "
        f"{counted(utterances, 'utterance')}, {counted(words, 'word')}, {length} of speech. "
        f"Differences are from {report.reference} or, where a row has chunks of another length, "
        f"from PyTorch streaming with these."
    )


def reasons(report: Report) -> list[str]:
    """The exclusions of each set, counted by reason; the most frequent first."""
    lines = []
    for name, one in report.suite.sets.items():
        counts = Counter(excluded.reason for excluded in one.excluded)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        lines += [f"{name}: {counted(count, 'utterance')}: {reason}" for reason, count in ranked]
    return lines


def method(report: Report) -> list[str]:
    """How the numbers were computed."""
    used, suite = report.statistics, report.suite
    lines = [
        f"Intervals hold {100 * used.confidence:g} %: percentiles of a bootstrap over utterances, "
        f"{used.resamples:,} resamples, seed {used.seed}. All rows share the resamples, so "
        f"differences are paired; p is two-sided.",
        f"A minimum detectable difference is one that utterances like these would show with a "
        f"power of {100 * used.power:g} %.",
        f"Words are compared after {suite.normalizer}; the average is the mean of the sets' rates.",
        "Tokens, KL and encoder errors are against PyTorch streaming in chunks of the same length; "
        "KL(PyTorch || scheme) is taken at each decision along PyTorch's greedy path.",
        "Latency is algorithmic: the longest wait from the end of the audio that an encoder frame "
        "stands for to the last sample that the frame depends on.",
    ]
    benches = [scheme.bench for scheme in report.schemes if scheme.bench]
    machines = sorted({f"{bench.machine}, {counted(bench.threads, 'thread')}" for bench in benches})
    if machines:
        lines.append(
            f"Speed is of encoder steps taken in turns with those of the fp32 graphs, on "
            f"{'; '.join(machines)}. RTFx is seconds of audio transcribed per second."
        )
    return lines


def versions(report: Report) -> str:
    """`numpy 2.4.6, onnxruntime 1.32.0`."""
    return ", ".join(f"{name} {version}" for name, version in report.versions.items())
