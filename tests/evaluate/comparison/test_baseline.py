from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quantkit.core.errors import InputError
from quantkit.evaluate.comparison.baseline import load_report, regressions
from quantkit.recipe.suite import RegressionSettings
from quantkit.report.schema import Report
from tests.evaluate.comparison import toy

REPORT = toy.report()
CONTENT: dict[str, Any] = REPORT.model_dump(mode="json", by_alias=True)
INT4 = 3


def changed(keys: list[Any], value: Any) -> Report:
    """The report with another value at a path of keys."""
    content = json.loads(json.dumps(CONTENT))
    part = content
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    return Report.model_validate(content)


def missed(report: Report, baseline: Report = REPORT) -> list[tuple[str, str]]:
    gates = regressions(report, baseline, RegressionSettings())
    return [(gate.scheme, gate.name) for gate in gates if not gate.passed]


def test_the_same_report_has_no_regression_and_every_number_a_gate() -> None:
    gates = regressions(REPORT, REPORT, RegressionSettings())
    assert all(gate.passed for gate in gates)
    assert [gate.name for gate in gates if gate.scheme == "int4"] == [
        "baseline: macro.wer",
        "baseline: parity.token_error_rate",
        "baseline: parity.kl.mean",
        "baseline: total_bytes",
        "baseline: bench.faster_than_fp32.median",
    ]
    assert [gate.name for gate in gates if gate.scheme == "pytorch"] == ["baseline: macro.wer"]


@pytest.mark.parametrize(
    ("keys", "tolerated", "regressed"),
    [
        (["macro", "wer"], REPORT.schemes[INT4].macro.wer + 0.0019, 0.21),
        (["parity", "token_error_rate"], 4 / 18 + 0.0099, 4 / 18 + 0.0101),
        (["parity", "kl", "mean"], 0.219, 0.221),
        (["total_bytes"], 1010, 1011),
        (["bench", "faster_than_fp32", "median"], 1.71, 1.69),
    ],
)
def test_each_number_alone(keys: list[Any], tolerated: float, regressed: float) -> None:
    at = ["schemes", INT4, *keys]
    assert missed(changed(at, tolerated)) == []
    assert missed(changed(at, regressed)) == [("int4", f"baseline: {'.'.join(keys)}")]
    # The other way round it is an improvement.
    assert missed(REPORT, changed(at, regressed)) == []


def test_rounding_of_another_machine_is_no_regression() -> None:
    at = ["schemes", INT4, "parity", "kl", "mean"]
    assert missed(changed(at, 9e-8), changed(at, 3e-8)) == []


def test_speed_is_compared_on_one_machine_only() -> None:
    slow = changed(["schemes", INT4, "bench", "faster_than_fp32", "median"], 1.0)
    assert missed(slow, changed(["schemes", INT4, "bench", "machine"], "other")) == []
    assert missed(slow, changed(["schemes", INT4, "bench", "threads"], 1)) == []
    assert missed(slow, changed(["schemes", INT4, "bench"], None)) == []


def test_a_scheme_that_is_gone_fails_and_a_new_one_does_not() -> None:
    fewer = REPORT.model_copy(update={"schemes": REPORT.schemes[:-1]})
    assert missed(fewer) == [("int4-80", "baseline: present")]
    assert missed(REPORT, fewer) == []


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["suite", "sets", "b", "digest"], "other", "set 'b' has other utterances"),
        (["suite", "sets"], {"a": CONTENT["suite"]["sets"]["a"]}, "set 'b' is not in the base"),
        (["suite", "normalizer"], "whisper 0", "normalizer was 'whisper 0' and is 'whisper 1'"),
        (["statistics", "resamples"], 100, "statistics.resamples was 100 and is 4000"),
        (["schemes", INT4, "parity", "deep_utterances"], 9, "compared deeply was 9 and is 2"),
    ],
)
def test_another_suite_is_refused(keys: list[Any], value: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"{message}.* as the new baseline"):
        regressions(REPORT, changed(keys, value), RegressionSettings())


def test_a_set_that_is_missing_now_is_refused() -> None:
    now = changed(["suite", "sets"], {"a": CONTENT["suite"]["sets"]["a"]})
    with pytest.raises(InputError, match="set 'b' is missing now"):
        regressions(now, REPORT, RegressionSettings())


def test_a_report_is_read_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(CONTENT))
    assert load_report(path) == REPORT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the report: No such file"),
        (b"\xff", "not UTF-8"),
        (b'{"schema": 1,', r"report\.json:1:14: is not JSON"),
        (b"[" * 10**5, "nests deeper|is not JSON"),
        (json.dumps(CONTENT | {"reference": float("nan")}).encode(), "found NaN, accepted: fin"),
        (json.dumps(CONTENT | {"reference": 10**399}).encode(), "found a number beyond 1e\\+100"),
        (b"[]", "the report: .*found \\[\\]"),
        (json.dumps(CONTENT | {"schema": 2, "new": 1}).encode(), "schema: Input should be 1.*2;"),
        (json.dumps(CONTENT | {"reference": 5}).encode(), "reference: .*valid string, found 5"),
        (json.dumps(CONTENT | {"gates": [{}]}).encode(), r"gates\[0\]\.name: Field required"),
    ],
)
def test_what_is_no_report_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "report.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"(?s){message}.*accepted: the report.json"):
        load_report(path)


ACCEPTED = Path(__file__).parents[3] / "recipes" / "suites" / "demo-baseline.json"


def keys_at(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all mappings, one of the items of each list."""
    if isinstance(value, dict):
        yield path
        for key, below in value.items():
            yield from keys_at(below, (*path, key))
    elif isinstance(value, list) and value:
        yield from keys_at(value[0], (*path, 0))


def edited(path: tuple[Any, ...], edit: Callable[[dict[str, Any]], Any], out: Path) -> Path:
    """The committed baseline after a change of the mapping at a path."""
    content = json.loads(ACCEPTED.read_text())
    part = content
    for key in path:
        part = part[key]
    edit(part)
    out.write_text(json.dumps(content))
    return out


def test_keys_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    accepted = load_report(ACCEPTED)
    # The keys of these are names, not the schema's.
    free = {("versions",), ("suite", "sets"), ("schemes", 0, "sets")}
    paths = [path for path in keys_at(json.loads(ACCEPTED.read_text())) if path not in free]
    assert len(paths) > 8
    for path in paths:
        later = edited(path, lambda part: part.update(added=[1]), tmp_path / "later.json")
        baseline = load_report(later)
        assert baseline == accepted
        assert regressions(accepted, baseline, RegressionSettings())


@pytest.mark.parametrize(
    "key",
    ["total_bytes", "bits_per_weight", "parity", "bench", "long_form", "layers", "by_length"],
)
def test_what_an_earlier_version_had_not_is_not_measured(key: str, tmp_path: Path) -> None:
    accepted = load_report(ACCEPTED)
    number = next(n for n, scheme in enumerate(accepted.schemes) if scheme.role == "scheme")
    path = edited(("schemes", number), lambda part: part.pop(key), tmp_path / "earlier.json")
    baseline = load_report(path)
    assert not getattr(baseline.schemes[number], key)
    gates = regressions(accepted, baseline, RegressionSettings())
    assert gates
    assert all(gate.passed for gate in gates)
    assert not [gate for gate in gates if gate.name == f"baseline: {key}" and
                gate.scheme == accepted.schemes[number].name]  # fmt: skip


@pytest.mark.parametrize(("path", "key"), [(("schemes", 0), "macro"), (("suite",), "normalizer")])
def test_what_every_report_has_is_missed(path: tuple[Any, ...], key: str, tmp_path: Path) -> None:
    without = edited(path, lambda part: part.pop(key), tmp_path / "without.json")
    with pytest.raises(InputError, match=rf"{key}: Field required"):
        load_report(without)
