"""The report as Markdown for a pull-request comment."""

from __future__ import annotations

from quantkit.core.markdown import code, escape, fenced
from quantkit.report import rates, sentences, tables
from quantkit.report.format import counted
from quantkit.report.schema import Report
from quantkit.report.table import Column, Table

#: A comment on GitHub holds 65,536 characters.
LIMIT = 60_000

_LISTED = 50
_HEADLINED = 10
_RESERVE = 500


def render_markdown(report: Report) -> str:
    """The report in less than `LIMIT` characters, as GitHub shows Markdown.

    Sections that would not fit are named at the end; report.html has them.
    """
    kept, left_out, size = [], [], 0
    for title, body in _sections(report):
        section = f"### {title}\n\n{body}\n" if title else f"{body}\n"
        if size + len(section) < LIMIT - _RESERVE:
            kept.append(section)
            size += len(section) + 1
        else:
            left_out.append(title)
    if left_out:
        kept.append(f"Too long for a comment, see report.html: {', '.join(left_out)}.\n")
    return "\n".join(kept)


def _sections(report: Report) -> list[tuple[str, str]]:
    return [
        ("", _verdict(report)),
        ("", escape(sentences.scope(report))),
        ("Summary", _table(tables.summary(report))),
        ("Word error rate by set", _table(rates.by_set(report))),
        ("Export, fusion, quantization", _table(tables.chain(report))),
        ("Length of utterances", _table(rates.by_length(report))),
        ("Gates", _gates(report)),
        ("Speech", _speech(report)),
        ("Parity", _folded("Token by token", _table(tables.parity(report)))),
        ("Speed", _folded("Beside the fp32 graphs", _table(tables.speed(report)))),
        ("How this was computed", _method(report)),
    ]


def _verdict(report: Report) -> str:
    verdict = sentences.verdict(report)
    shown = [escape(sentences.shortfall(gate)) for gate in verdict.missed[:_HEADLINED]]
    if len(verdict.missed) > _HEADLINED:
        shown.append(f"and {len(verdict.missed) - _HEADLINED} more")
    return f"**{verdict.headline}**" + (f": {'; '.join(shown)}" if shown else "")


def _gates(report: Report) -> str:
    table = tables.gates(report)
    missed = [table.rows[index] for index in sorted(table.flagged)]
    flagged = Table(table.caption, table.columns, missed, "Every gate was kept.")
    if not report.gates:
        return table.absent
    return f"{_table(flagged)}\n\n{_folded(counted(len(table.rows), 'gate'), _table(table))}"


def _speech(report: Report) -> str:
    problems = [f"Could not be used: {problem}" for problem in report.suite.problems]
    parts = [_list(problems)] if problems else []
    parts.append(_table(tables.speech(report)))
    excluded = [
        f"{name}/{exclusion.id}: {exclusion.reason}"
        for name, part in report.suite.sets.items()
        for exclusion in part.excluded
    ]
    if excluded:
        named = excluded[:_LISTED]
        if len(excluded) > _LISTED:
            named.append(f"{len(excluded) - _LISTED:,} more in report.json")
        counts = sentences.reasons(report)
        parts.append(
            _folded(
                f"{counted(len(excluded), 'utterance')} excluded",
                _list(counts[:_LISTED]),
                _list(named),
            )
        )
    return "\n\n".join(parts)


def _method(report: Report) -> str:
    lines = [*sentences.method(report), f"Checkpoint: {report.checkpoint}"]
    return _folded(
        "Statistics, smallest detectable differences, versions",
        _list([*lines, f"Versions: {sentences.versions(report)}"]),
        _table(rates.detectable(report)),
        fenced(report.command, "sh"),
    )


def _table(table: Table) -> str:
    if not table.rows:
        return table.absent
    heads = [escape(_head(column)) for column in table.columns]
    lines = [heads, [_rule(column) for column in table.columns]]
    shown = [code if column.code else escape for column in table.columns]
    lines += [[show(cell) for show, cell in zip(shown, row, strict=True)] for row in table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _head(column: Column) -> str:
    return f"{column.group}: {column.title}" if column.group else column.title


def _rule(column: Column) -> str:
    return ":--" if column.text else "--:"


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {escape(line)}" for line in lines)


def _folded(summary: str, *parts: str) -> str:
    """Blank lines around the parts let GitHub read them as Markdown."""
    inside = "\n\n".join(parts)
    return f"<details><summary>{summary}</summary>\n\n{inside}\n\n</details>"
