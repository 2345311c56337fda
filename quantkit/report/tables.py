"""The tables of a report, shared by its Markdown and its HTML."""

from __future__ import annotations

from quantkit.report.format import (
    difference,
    interval,
    megabytes,
    milliseconds,
    number,
    p_value,
    percent,
    ratio,
    scientific,
)
from quantkit.report.schema import Link, Parity, Report, Scheme
from quantkit.report.table import Column, Table

_NAME = Column("scheme", text=True)


def summary(report: Report) -> Table:
    """A row for every mode of PyTorch, the fp32 graphs and every scheme."""
    columns = [
        _NAME,
        Column("MB"),
        Column("bits per weight"),
        Column("average, %", "WER"),
        Column("minus PyTorch, points", "WER"),
        Column("p", "WER"),
        Column("exact utterances", "tokens"),
        Column("edit rate, %", "tokens"),
        Column("mean", "KL, nats"),
        Column("p99", "KL, nats"),
        Column("max", "KL, nats"),
        Column("p50", "step, ms"),
        Column("p95", "step, ms"),
        Column("RTFx"),
        Column("memory, MB"),
        Column("latency, ms"),
    ]
    caption = (
        "Size, accuracy, parity and speed; WER is the average of the sets, in brackets the "
        f"{100 * report.statistics.confidence:g} % interval"
    )
    return Table(caption, columns, [_summary_row(scheme) for scheme in report.schemes])


def _summary_row(scheme: Scheme) -> list[str]:
    parity, bench = scheme.parity, scheme.bench
    kl = parity.kl if parity else None
    return [
        scheme.name,
        megabytes(scheme.total_bytes),
        number(scheme.bits_per_weight, 2),
        percent(scheme.macro.wer),
        difference(scheme.macro),
        p_value(scheme.macro.p_value),
        _exact(parity) if parity else "-",
        percent(parity.token_error_rate if parity else None),
        scientific(kl.mean if kl else None),
        scientific(kl.p99 if kl else None),
        scientific(kl.max if kl else None),
        number(bench.step_p50_ms if bench else None),
        number(bench.step_p95_ms if bench else None),
        number(bench.rtfx if bench else None),
        megabytes(bench.rss_bytes if bench else None),
        milliseconds(scheme.latency_s),
    ]


def parity(report: Report) -> Table:
    """Token by token against PyTorch in chunks of the same length."""
    columns = [
        _NAME,
        Column("reference", text=True),
        Column("exact", "utterances"),
        Column("errors", "tokens"),
        Column("edit rate, %", "tokens"),
        Column("utterances", "compared deeply"),
        Column("decisions", "compared deeply"),
        Column("token errors at near-ties", "compared deeply"),
        Column("KL mean, nats", "compared deeply"),
        Column("largest encoder error", "compared deeply"),
    ]
    pairs = [(scheme.name, scheme.parity) for scheme in report.schemes if scheme.parity]
    rows = [[name, *_parity_cells(parity)] for name, parity in pairs]
    return Table("Parity with PyTorch", columns, rows, "No row was compared token by token.")


def _parity_cells(parity: Parity) -> list[str]:
    kl = parity.kl
    bounds = (percent(parity.token_error_rate_low), percent(parity.token_error_rate_high))
    return [
        parity.reference,
        _exact(parity),
        f"{parity.token_errors:,} of {parity.reference_tokens:,}",
        percent(parity.token_error_rate) + interval(*bounds),
        number(parity.deep_utterances, 0),
        number(parity.decisions, 0),
        number(parity.near_tie_errors, 0),
        scientific(kl.mean) + interval(scientific(kl.mean_low), scientific(kl.mean_high))
        if kl
        else "-",
        scientific(parity.encoder_max_abs_error),
    ]


def chain(report: Report) -> Table:
    """What export, fusion and quantization each changed."""
    steps = ("export", "fusion", "quantization")
    titles = ("exact utterances", "token errors", "word errors added")
    columns = [_NAME, *(Column(title, step) for step in steps for title in titles)]
    rows = []
    for scheme in report.schemes:
        links = {link.step: link for link in scheme.chain}
        if links:
            cells = [_link_cells(links[step]) if step in links else ["-"] * 3 for step in steps]
            rows.append([scheme.name, *(text for group in cells for text in group)])
    absent = "No row has a chain: only PyTorch was evaluated."
    return Table("What each step alone changed", columns, rows, absent)


def _link_cells(link: Link) -> list[str]:
    return [
        f"{link.token_exact_utterances:,} of {link.utterances:,}",
        f"{link.token_errors:,} of {link.reference_tokens:,}",
        f"{link.word_errors_added:+,}" if link.word_errors_added else "0",
    ]


def speed(report: Report) -> Table:
    """Speed and memory beside the fp32 graphs."""
    columns = [
        _NAME,
        Column("threads"),
        Column("p50", "step, ms"),
        Column("p95", "step, ms"),
        Column("times faster than fp32"),
        Column("RTFx"),
        Column("load, s"),
        Column("memory, MB"),
    ]
    rows = [
        [
            scheme.name,
            str(bench.threads),
            number(bench.step_p50_ms),
            number(bench.step_p95_ms),
            ratio(bench.faster_than_fp32),
            number(bench.rtfx),
            number(bench.load_s, 2),
            megabytes(bench.rss_bytes),
        ]
        for scheme in report.schemes
        if (bench := scheme.bench)
    ]
    machines = sorted({scheme.bench.machine for scheme in report.schemes if scheme.bench})
    caption = f"Speed and memory on {'; '.join(machines)}"
    return Table(caption, columns, rows, "Speed was not measured.")


def gates(report: Report) -> Table:
    """Every gate with its margin."""
    columns = [
        Column("gate", text=True),
        _NAME,
        Column("result", text=True),
        Column("measured"),
        Column("accepted"),
        Column("margin"),
        Column("confidence, %"),
        Column("evidence", text=True),
    ]
    rows = [
        [
            gate.name,
            gate.scheme,
            "passed" if gate.passed else "failed",
            f"{gate.value:.4g}",
            f"{'at least' if gate.at_least else 'at most'} {gate.limit:.4g}",
            f"{gate.margin:+.3g}",
            "-" if gate.confidence is None else f"{100 * gate.confidence:g}",
            gate.evidence,
        ]
        for gate in report.gates
    ]
    flagged = frozenset(index for index, gate in enumerate(report.gates) if not gate.passed)
    return Table(
        "Measured values against their limits", columns, rows, "No gates were set.", flagged
    )


def speech(report: Report) -> Table:
    """The sets as they were evaluated."""
    columns = [
        Column("set", text=True),
        Column("source", text=True),
        Column("revision", text=True, code=True),
        Column("utterances"),
        Column("words"),
        Column("minutes"),
        Column("excluded"),
        Column("digest", text=True, code=True),
    ]
    rows = [
        [
            name,
            one.source,
            (one.revision or "-")[:12],
            number(one.utterances, 0),
            number(one.words, 0),
            number(one.duration_s / 60),
            number(len(one.excluded), 0),
            one.digest[:12],
        ]
        for name, one in report.suite.sets.items()
    ]
    return Table("Sets as they were evaluated", columns, rows, "No set could be used.")


def _exact(parity: Parity) -> str:
    return f"{parity.token_exact_utterances:,} of {parity.utterances:,}"
