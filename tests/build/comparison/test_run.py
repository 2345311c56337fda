"""The whole comparison on the demo model, through the command line."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

from quantkit.cli import main
from quantkit.report.schema import Report

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PROMPTS = ROOT / "calibration" / "asterisk-parity"
GAME = ROOT / "calibration" / "game-parity"
FILES = ("report.json", "report.md", "report.html", "junit.xml")
RECIPES = ["recipes/demo-int4-rtn.yaml", "recipes/demo-fp32.yaml"]
PATIENCE_S = 300.0

SUITE = """
schema: 1
name: tiny
language: en
sets:
  prompts: {{manifest: {prompts}}}
  game: {{manifest: {game}}}
modes: [{{mode: offline}}]
gates:
  - {{measure: token_error_rate, limit: {limit}}}
  - {{measure: wer_difference, limit: 0.9, confidence: 0.95}}
"""


def few(source: Path, count: int, target: Path) -> Path:
    """A manifest of the first recordings of another one."""
    rows = [json.loads(line) for line in (source / "manifest.jsonl").read_text().splitlines()]
    lines = [json.dumps(row | {"audio": str(source / row["audio"])}) for row in rows[:count]]
    target.write_text("\n".join(lines))
    return target


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Path:
    """A suite of two small sets, and a store that holds the artifacts' stages and no results."""
    folder = tmp_path_factory.mktemp("workshop")
    prompts = few(PROMPTS, 5, folder / "prompts.jsonl")
    game = few(GAME, 3, folder / "game.jsonl")
    (folder / "suite.yaml").write_text(SUITE.format(prompts=prompts, game=game, limit=0.9))
    (folder / "strict.yaml").write_text(SUITE.format(prompts=prompts, game=game, limit=0.0001))
    for recipe in RECIPES:
        name = Path(recipe).stem
        words = ["build", recipe, *settings(folder), "--out", str(folder / "artifacts" / name)]
        run(words, folder / "store")
    return folder


def settings(folder: Path) -> list[str]:
    manifest, gates = folder / "prompts.jsonl", "{token_error_rate: 0.9}"
    return ["--set", f"verify.manifest={manifest}", "--set", f"verify.gates={gates}"]


def start(words: list[str], store: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "quantkit.cli", *words, "--store", str(store)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def run(words: list[str], store: Path, code: int = 0) -> str:
    """Run a command in this process, which has PyTorch loaded already; what it prints."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said), chdir(ROOT):
        found = main([*words, "--store", str(store)])
    assert found == code, said.getvalue()
    return said.getvalue()


def comparison(workshop: Path, out: Path, *more: str, suite: str = "suite.yaml") -> list[str]:
    places = ["--suite", str(workshop / suite), "--artifacts", str(workshop / "artifacts")]
    words = ["compare", *RECIPES, *settings(workshop), *places, "--out", str(out), "--no-speed"]
    return [*words, *more]


def fresh_store(workshop: Path, folder: Path) -> Path:
    """The stages of the artifacts, and nothing evaluated."""
    return Path(shutil.copytree(workshop / "store", folder / "store"))


def parts(store: Path) -> dict[str, int]:
    """Files of evaluated shards and when each was written."""
    return {str(path): path.stat().st_mtime_ns for path in store.glob("results/*/parts/*.jsonl")}


def written(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def undisturbed(workshop, tmp_path_factory) -> tuple[dict[str, bytes], Path]:
    """The report's files of a comparison in one process, and its store."""
    folder = tmp_path_factory.mktemp("undisturbed")
    store = fresh_store(workshop, folder)
    run(comparison(workshop, folder / "out", "--jobs", "1"), store)
    return written(folder / "out"), store


def test_every_row_has_its_numbers(undisturbed) -> None:
    report = Report.model_validate(json.loads(undisturbed[0]["report.json"]))
    rows = {scheme.name: scheme for scheme in report.schemes}
    assert list(rows) == [
        "PyTorch, 560 ms",
        "PyTorch, offline",
        "fp32 ONNX, 560 ms",
        "demo-int4-rtn",
    ]
    assert {name: found.utterances for name, found in report.suite.sets.items()} == {
        "prompts": 5,
        "game": 3,
    }
    fp32, int4 = rows["fp32 ONNX, 560 ms"], rows["demo-int4-rtn"]
    assert [(link.step, link.token_errors) for link in fp32.chain] == [("export", 0), ("fusion", 0)]
    assert fp32.macro.delta == 0
    assert fp32.parity is not None
    assert fp32.parity.token_exact_utterances == 8
    assert int4.parity is not None
    assert int4.parity.kl is not None
    assert fp32.parity.kl is not None
    assert int4.parity.kl.mean > 1000 * fp32.parity.kl.mean
    assert int4.total_bytes is not None
    assert fp32.total_bytes is not None
    assert int4.total_bytes < fp32.total_bytes / 4
    assert {layer.layer for layer in int4.layers} > {"encoder/stem", "encoder/layers.0", "joint"}
    assert all(gate.passed for gate in report.gates)


def test_a_second_run_evaluates_nothing_and_writes_the_same_bytes(
    workshop, undisturbed, tmp_path
) -> None:
    files, store = undisturbed
    before = parts(store)
    began = time.monotonic()
    run(comparison(workshop, tmp_path / "again"), store)
    assert time.monotonic() - began < 30
    assert parts(store) == before
    assert written(tmp_path / "again") == files


def test_a_killed_comparison_goes_on_and_ends_the_same(workshop, undisturbed, tmp_path) -> None:
    files, reference = undisturbed
    store = fresh_store(workshop, tmp_path)
    with start(comparison(workshop, tmp_path / "out", "--jobs", "1"), store) as process:
        deadline = time.monotonic() + PATIENCE_S
        while len(parts(store)) < 3:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    kept = parts(store)
    assert not (tmp_path / "out").exists()
    run(comparison(workshop, tmp_path / "out"), store)
    assert written(tmp_path / "out") == files
    # What was finished is not written again, and no shard was evaluated under another cut.
    now = parts(store)
    assert {path: now[path] for path in kept} == kept
    assert len(now) == len(parts(reference))


@contextmanager
def cluster() -> Iterator[tuple[str, list[int]]]:
    """A Dask scheduler with two worker processes: its address, and the workers' pids."""
    from distributed import LocalCluster

    # Dask leaves the settings of its workers' threads in the environment of this process.
    with (
        patch.dict(os.environ),
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as found,
    ):
        yield found.scheduler_address, [nanny.pid for nanny in found.workers.values()]


def test_a_cluster_that_loses_a_worker_writes_the_same_bytes(
    workshop, undisturbed, tmp_path
) -> None:
    store = fresh_store(workshop, tmp_path)
    words = comparison(workshop, tmp_path / "out")
    with cluster() as (address, pids), start([*words, "--dask", address], store) as process:
        deadline = time.monotonic() + PATIENCE_S
        while not parts(store):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(pids[0], signal.SIGKILL)
        said = process.communicate(timeout=PATIENCE_S)[0]
    assert process.returncode == 0, said
    assert written(tmp_path / "out") == undisturbed[0]


def test_a_missed_gate_is_exit_1_and_says_which(workshop, undisturbed, tmp_path) -> None:
    words = comparison(workshop, tmp_path / "out", suite="strict.yaml")
    said = run(words, undisturbed[1], code=1)
    assert "token_error_rate of demo-int4-rtn: measured" in said
    assert "missed by" in said
    assert "schemes[demo-int4-rtn].parity.token_error_rate" in said
    assert (tmp_path / "out" / "report.html").is_file()
    assert "<failure" in (tmp_path / "out" / "junit.xml").read_text()


def test_what_got_worse_than_the_baseline_fails(workshop, undisturbed, tmp_path) -> None:
    files, store = undisturbed
    accepted = json.loads(files["report.json"])
    baseline = tmp_path / "baseline.json"
    baseline.write_bytes(files["report.json"])
    run(comparison(workshop, tmp_path / "same", "--baseline", str(baseline)), store)
    for scheme in accepted["schemes"]:
        if scheme["name"] == "demo-int4-rtn":
            scheme["parity"]["kl"]["mean"] /= 2
    baseline.write_text(json.dumps(accepted))
    said = run(comparison(workshop, tmp_path / "worse", "--baseline", str(baseline)), store, code=1)
    assert "baseline: parity.kl.mean of demo-int4-rtn" in said


def test_bad_sets_and_clips_are_told_and_the_rest_is_evaluated(
    workshop, undisturbed, tmp_path
) -> None:
    good = [json.loads(line) for line in (workshop / "game.jsonl").read_text().splitlines()]
    (tmp_path / "broken.flac").write_bytes(b"fLaC" + bytes(100))
    rows = [*good, {"audio": str(tmp_path / "broken.flac"), "text": "never heard"}]
    (tmp_path / "game.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    suite = SUITE.format(prompts=tmp_path / "nowhere.jsonl", game=tmp_path / "game.jsonl", limit=1)
    (tmp_path / "suite.yaml").write_text(suite)
    words = comparison(workshop, tmp_path / "out", suite=str(tmp_path / "suite.yaml"))
    said = run(words, undisturbed[1], code=2)
    assert "sets.prompts" in said
    assert "nowhere.jsonl" in said
    report = Report.model_validate_json((tmp_path / "out" / "report.json").read_text())
    assert list(report.suite.sets) == ["game"]
    assert report.suite.sets["game"].utterances == 3
    (excluded,) = report.suite.sets["game"].excluded
    assert excluded.id == "broken.flac"
    assert "cannot be read as audio" in excluded.reason
    assert "broken.flac" in (tmp_path / "out" / "report.md").read_text()


def test_schemes_of_different_models_are_not_compared(workshop, undisturbed, tmp_path) -> None:
    other = tmp_path / "other.nemo"
    other.write_bytes(b"another checkpoint")
    recipe = (ROOT / RECIPES[0]).read_text().replace("source: demo", f"source: {other}")
    (tmp_path / "other.yaml").write_text(recipe.replace("demo-int4-rtn", "other"))
    words = comparison(workshop, tmp_path / "out")
    words.insert(1, str(tmp_path / "other.yaml"))
    said = run(words, undisturbed[1], code=2)
    assert "model.source: found 2 checkpoints" in said
    assert str(tmp_path / "other.yaml") in said


def test_speed_is_measured_once(workshop, undisturbed, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("quantkit.build.comparison.speed.ROUNDS", 2)
    monkeypatch.setattr("quantkit.bench.steps.AUDIO_ROUNDS", 1)
    store = undisturbed[1]
    words = [word for word in comparison(workshop, tmp_path / "out") if word != "--no-speed"]
    run(words, store)
    first = written(tmp_path / "out")
    kept = sorted((store / "speed").glob("*.json"))
    run(words, store)
    assert written(tmp_path / "out") == first
    assert len(kept) == 3
    report = Report.model_validate_json(first["report.json"])
    bench = {scheme.name: scheme.bench for scheme in report.schemes}
    assert bench["PyTorch, offline"] is None
    measured = bench["demo-int4-rtn"]
    assert measured is not None
    assert measured.step_p50_ms > 0
    assert measured.faster_than_fp32 is not None
    assert measured.rss_bytes > 10e6
