from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantkit.cli import main
from tests.bench.graphs import write_encoder

pytestmark = pytest.mark.slow


def test_bench_prints_tables_and_writes_the_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(write_encoder(tmp_path / name / "encoder.onnx").parent) for name in ("x", "y")]
    numbers = tmp_path / "bench.json"
    options = ["--threads", "1", "--rounds", "2", "--json", str(numbers)]
    assert main(["bench", *paths, *options]) == 0
    report = json.loads(numbers.read_text())
    assert [row["name"] for row in report["candidates"]] == ["x", "y"]
    shown = capsys.readouterr().out
    assert f"{report['pairs'][0]['ratio_median']:.2f}" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "by operator" not in shown


def test_a_profile_is_printed_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_encoder(tmp_path / "encoder.onnx"))
    assert main(["bench", path, "--threads", "1", "--rounds", "1", "--profile"]) == 0
    words = capsys.readouterr().out.split()
    assert "step by operator" in " ".join(words)
    assert {"Slice", "Add", "share"} <= set(words)


def test_a_missing_candidate_ends_with_the_input_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(tmp_path / "absent")]) == 2
    assert "absent" in capsys.readouterr().err
