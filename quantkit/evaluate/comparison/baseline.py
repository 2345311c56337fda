"""Regressions against the last accepted report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from quantkit.core.errors import InputError
from quantkit.core.strict_json import read_json
from quantkit.evaluate.gates import make_gate
from quantkit.recipe.document import dotted
from quantkit.recipe.suite import RegressionSettings
from quantkit.report.schema import Bench, Gate, Report, Scheme

#: Below this mean divergence, in nats, there is only float rounding, other on another machine.
KL_ROUNDING = 1e-6
#: What limits are computed of has to stay finite.
_MOST = 1e100


def load_report(path: Path) -> Report:
    """Read the report.json of an earlier comparison.

    Raises:
        InputError: no such file, no JSON, or no report of this version; where, and what was found.
    """
    try:
        return Report.model_validate(_content(path), strict=True)
    except ValidationError as error:
        # A report of another version has many problems, of which the version is the cause.
        problems = error.errors(include_url=False)
        first = next((one for one in problems if one["loc"] == ("schema",)), problems[0])
        where = dotted(first["loc"]) or "the report"
        problem = f"{path}: {where}: {first['msg']}, found {first['input']!r:.80}"
    except OSError as error:
        problem = f"{path}: cannot read the report: {error.strerror}"
    except InputError as error:
        problem = str(error)
    raise InputError(
        f"{problem}; accepted: the report.json that `quantkit compare` of this version wrote"
    )


def _content(path: Path) -> Any:
    path.stat()  # so that a file which is not there is told as such
    content = read_json(path)
    if any(abs(number) > _MOST for number in _numbers(content)):
        raise InputError(f"{path}: found a number beyond {_MOST:g}, which nothing measures")
    return content


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _numbers(one)


def regressions(report: Report, baseline: Report, tolerances: RegressionSettings) -> list[Gate]:
    """A gate for each number of the baseline's schemes that must not become worse.

    A scheme that is missing now fails `baseline: present`; one that is new has nothing to be held
    against. Speed is only compared on the same machine with as many threads.

    Raises:
        InputError: the baseline is of other speech or other statistics, so nothing compares.
    """
    _check_comparable(report, baseline)
    now = {scheme.name: scheme for scheme in report.schemes}
    gates = []
    for before in baseline.schemes:
        if before.name in now:
            gates += list(_scheme(now[before.name], before, tolerances))
        else:
            gates.append(
                make_gate("baseline: present", before.name, 0, 1, "schemes", at_least=True)
            )
    return gates


def _scheme(now: Scheme, before: Scheme, tolerances: RegressionSettings) -> Iterator[Gate]:
    def most(name: str, value: float, limit: float) -> Gate:
        key = f"schemes[{now.name}].{name}"
        return make_gate(f"baseline: {name}", now.name, value, limit, key)

    yield most("macro.wer", now.macro.wer, before.macro.wer + tolerances.wer)
    if now.parity is not None and before.parity is not None:
        rate, rate_before = now.parity.token_error_rate, before.parity.token_error_rate
        if rate is not None and rate_before is not None:
            limit = rate_before + tolerances.token_error_rate
            yield most("parity.token_error_rate", rate, limit)
        kl, kl_before = now.parity.kl, before.parity.kl
        if kl is not None and kl_before is not None:
            limit = max(kl_before.mean * (1 + tolerances.kl_mean), KL_ROUNDING)
            yield most("parity.kl.mean", kl.mean, limit)
    if now.total_bytes is not None and before.total_bytes is not None:
        yield most("total_bytes", now.total_bytes, before.total_bytes * (1 + tolerances.bytes))
    if now.bench is not None and before.bench is not None:
        yield from _step(now.name, now.bench, before.bench, tolerances)


def _step(scheme: str, now: Bench, before: Bench, tolerances: RegressionSettings) -> Iterator[Gate]:
    if (now.machine, now.threads) != (before.machine, before.threads):
        return
    if now.faster_than_fp32 is not None and before.faster_than_fp32 is not None:
        yield make_gate(
            "baseline: bench.faster_than_fp32.median",
            scheme,
            now.faster_than_fp32.median,
            before.faster_than_fp32.median * (1 - tolerances.step),
            f"schemes[{scheme}].bench.faster_than_fp32.median",
            at_least=True,
        )


def _check_comparable(report: Report, baseline: Report) -> None:
    sets, sets_before = report.suite.sets, baseline.suite.sets
    missing = [f"set {name!r} is missing now" for name in sets_before if name not in sets]
    new = [f"set {name!r} is not in the baseline" for name in sets if name not in sets_before]
    other = [
        f"set {name!r} has other utterances ({sets_before[name].utterances} before, "
        f"{found.utterances} now)"
        for name, found in sets.items()
        if name in sets_before and found.digest != sets_before[name].digest
    ]
    settings = [
        f"{what} was {before!r} and is {now!r}"
        for what, before, now in [
            ("the normalizer", baseline.suite.normalizer, report.suite.normalizer),
            *(
                (f"statistics.{name}", before, getattr(report.statistics, name))
                for name, before in baseline.statistics
            ),
            ("the number of utterances compared deeply", _deep(baseline), _deep(report)),
        ]
        if before != now
    ]
    problems = [*missing, *new, *other, *settings]
    if problems:
        raise InputError(
            f"the baseline does not compare: {'; '.join(problems)}. Evaluate the suite of the "
            "baseline, or accept this run's report.json as the new baseline"
        )


def _deep(report: Report) -> int:
    """Utterances compared deeply: those of every scheme are the same."""
    return max(
        (scheme.parity.deep_utterances for scheme in report.schemes if scheme.parity), default=0
    )
