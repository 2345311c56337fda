import errno
import hashlib
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from quantkit.build.artifact import build, plan_build
from quantkit.build.checkpoint import Checkpoint
from quantkit.build.engine import Stage, Workspace, keys
from quantkit.build.progress import LineProgress
from quantkit.build.stages import calibration_chain, chain, sensitivity_chain
from quantkit.build.store import Store
from quantkit.bundle.manifest import check_files, load_manifest
from quantkit.core.errors import InputError, SettingError
from quantkit.recipe.load import load_recipe
from quantkit.report.format import describe_gate
from tests.build.toy import (
    ARTIFACT,
    CHAIN,
    STORE,
    Points,
    make_workshop,
    toy_build,
    toy_chain,
)


@pytest.fixture
def workshop(tmp_path, monkeypatch) -> Path:
    make_workshop(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _begun(points: list[str]) -> list[str]:
    return [point.split()[0] for point in points if point.endswith("begins")]


def _plan(monkeypatch, *overrides: str, force: bool = False) -> dict[str, str]:
    monkeypatch.setattr(
        "quantkit.build.artifact.chain",
        lambda recipe, found: toy_chain(recipe, found, Points()),
    )
    recipe = load_recipe(Path("recipe.yaml"), overrides)
    rows = plan_build(recipe, ARTIFACT, Store(STORE), force=force)
    assert all(row.cached != bool(row.why) for row in rows)
    return {row.stage: row.why for row in rows}


def test_the_artifact_is_whole_and_its_manifest_says_what_scripts_read(
    workshop, monkeypatch
) -> None:
    built, points = toy_build(monkeypatch, workshop)
    assert _begun(points) == ["export", "fuse", "quantize", "verify"]
    manifest = load_manifest(ARTIFACT)
    check_files(ARTIFACT, manifest)
    assert manifest["recipe"]["quantize"]["bits"] == 4
    assert manifest["source"]["name"] == "toy.nemo"
    assert manifest["graphs"]["encoder"]["bits_per_weight"] == 4.5
    settings = json.loads((ARTIFACT / "streaming.json").read_text())
    assert manifest["latency"] == {
        "algorithmic_s": settings["algorithmic_latency_s"],
        "chunk_s": 0.56,
        "definition": settings["latency_definition"],
    }
    assert manifest["parity"]["token_errors"] == 1
    assert manifest["versions"].keys() == {"quantkit", "python", "torch", "numpy"}
    on_disk = {path.name for path in ARTIFACT.iterdir()} - {"manifest.json"}
    assert manifest["files"].keys() == on_disk
    assert manifest["total_bytes"] == sum((ARTIFACT / name).stat().st_size for name in on_disk)
    assert [gate.passed for gate in built.gates] == [True]


def test_nothing_runs_twice(workshop, monkeypatch) -> None:
    toy_build(monkeypatch, workshop)
    stamp = (ARTIFACT / "manifest.json").stat().st_mtime_ns
    _, points = toy_build(monkeypatch, workshop)
    assert points == []
    assert (ARTIFACT / "manifest.json").stat().st_mtime_ns == stamp
    assert set(_plan(monkeypatch).values()) == {""}


def test_two_recipes_share_an_export(workshop, monkeypatch) -> None:
    toy_build(monkeypatch, workshop)
    _, points = toy_build(monkeypatch, workshop, overrides=("quantize.bits=8", "name=other"))
    assert _begun(points) == ["quantize", "verify"]


def test_the_plan_says_why(workshop, monkeypatch) -> None:
    assert set(_plan(monkeypatch).values()) == {"never run"}
    toy_build(monkeypatch, workshop)
    changed = _plan(monkeypatch, "quantize.bits=8")
    assert changed["export"] == changed["fuse"] == ""
    assert changed["quantize"] == "settings.bits 4 -> 8"
    assert changed["verify"].startswith("input quantize ")
    assert "settings.quantize.bits 4 -> 8" in changed["bundle"]
    (workshop / "toy.nemo").write_bytes(b"other weights")
    assert _plan(monkeypatch)["export"].startswith("input checkpoint ")
    assert set(_plan(monkeypatch, force=True).values()) == {"forced"}


def test_force_runs_everything(workshop, monkeypatch) -> None:
    toy_build(monkeypatch, workshop)
    _, points = toy_build(monkeypatch, workshop, force=True)
    assert _begun(points) == ["export", "fuse", "quantize", "verify"]


def test_a_damaged_result_is_made_again(workshop, monkeypatch) -> None:
    toy_build(monkeypatch, workshop)
    (path,) = STORE.glob("fuse/*/files/joint.onnx")
    path.write_bytes(b"short")
    assert "joint.onnx has 5 bytes" in _plan(monkeypatch)["fuse"]
    _, points = toy_build(monkeypatch, workshop)
    assert _begun(points) == ["fuse"]


def test_corruption_of_the_same_size_is_made_again(workshop, monkeypatch) -> None:
    toy_build(monkeypatch, workshop)
    (path,) = STORE.glob("quantize/*/files/joint.onnx")
    right = path.read_bytes()
    path.write_bytes(b"\0" * len(right))
    shutil.rmtree(ARTIFACT)
    expected = "stored result is damaged: joint.onnx differs from its digest"
    assert _plan(monkeypatch)["quantize"] == expected
    _, points = toy_build(monkeypatch, workshop)
    assert _begun(points) == ["quantize"]
    assert path.read_bytes() == right
    assert (ARTIFACT / "joint.onnx").read_bytes() == right


def test_nothing_is_made_of_what_is_damaged_while_the_build_runs(workshop, monkeypatch) -> None:
    def damage(stage: Stage) -> Stage:
        if stage.name != "quantize":
            return stage

        def work(space: Workspace) -> None:
            (space.upstream["fuse"] / "joint.onnx").write_bytes(bytes(1 << 18))
            stage.work(space)

        return replace(stage, work=work)

    progress = LineProgress(Console(quiet=True))
    recipe = load_recipe(Path("recipe.yaml"))
    with monkeypatch.context() as during:
        during.setattr(
            CHAIN, lambda recipe, found: [damage(s) for s in toy_chain(recipe, found, Points())]
        )
        with pytest.raises(InputError, match=r"damaged: joint\.onnx differs from its digest"):
            build(recipe, ARTIFACT, Store(STORE), progress)
    assert _plan(monkeypatch)["quantize"] == "never run"
    _, points = toy_build(monkeypatch, workshop)
    assert _begun(points) == ["fuse", "quantize", "verify"]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        "\udcff",
        '{"key": {}, "recipe": "toy", "files": {}}',
        '{"key": {}, "recipe": "toy", "files": null}',
        f"{'[' * 100_000}{']' * 100_000}",
        '{"files": NaN}',
        None,
    ],
)
def test_a_result_whose_entry_cannot_be_read_is_made_again(content, workshop, monkeypatch) -> None:
    toy_build(monkeypatch, workshop)
    (entry,) = STORE.glob("fuse/*/entry.json")
    right = entry.read_text()
    if content is None:
        entry.unlink()
    else:
        entry.write_text(content, errors="surrogateescape")
    why = _plan(monkeypatch)["fuse"]
    assert why.startswith("stored result is damaged: entry.json")
    _, points = toy_build(monkeypatch, workshop)
    assert _begun(points) == ["fuse"]
    assert entry.read_text() == right


def test_an_entry_protects_all_that_it_says(workshop, monkeypatch) -> None:
    toy_build(monkeypatch, workshop)
    (entry,) = STORE.glob("verify/*/entry.json")
    (parity,) = STORE.glob("verify/*/files/parity.json")
    forged = parity.read_text().replace('"token_errors": 1,', '"token_errors": 0,')
    content = json.loads(entry.read_text())
    content["files"]["parity.json"]["sha256"] = hashlib.sha256(forged.encode()).hexdigest()
    parity.write_text(forged)
    entry.write_text(json.dumps(content))
    assert _plan(monkeypatch)["verify"].endswith("entry.json was edited after it was written")
    built, points = toy_build(monkeypatch, workshop)
    assert _begun(points) == ["verify"]
    assert built.manifest["parity"]["token_errors"] == 1


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"schema": 1}', '{"schema": 2}', f"{'[' * 100_000}{']' * 100_000}", "\udcff"],
)
def test_an_artifact_whose_manifest_is_none_is_written_again(
    content, workshop, monkeypatch
) -> None:
    toy_build(monkeypatch, workshop)
    manifest = ARTIFACT / "manifest.json"
    right = manifest.read_text()
    manifest.write_text(content, errors="surrogateescape")
    why = _plan(monkeypatch)["bundle"]
    assert why.startswith("the artifact's manifest.json is damaged: ")
    toy_build(monkeypatch, workshop)
    assert manifest.read_text() == right


@pytest.mark.parametrize("name", ["streaming.json", "encoder.onnx", "tokens.txt", "README.md"])
def test_an_artifact_with_one_flipped_bit_is_written_again(name, workshop, monkeypatch) -> None:
    toy_build(monkeypatch, workshop)
    path = ARTIFACT / name
    right = path.read_bytes()
    path.write_bytes(bytes([right[0] ^ 1]) + right[1:])
    assert _plan(monkeypatch)["bundle"] == f"the artifact's {name} is damaged"
    toy_build(monkeypatch, workshop)
    assert path.read_bytes() == right


def test_a_cached_build_reads_each_file_of_the_artifact_once(workshop, monkeypatch) -> None:
    toy_build(monkeypatch, workshop)
    time.sleep(0.03)  # a file that changed just now is read again
    read: list[Path] = []

    def digest(path: Path) -> str:
        read.append(path)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr("quantkit.build.digests.sha256_file", digest)
    _, points = toy_build(monkeypatch, workshop)
    assert points == []
    listed = [ARTIFACT / name for name in load_manifest(ARTIFACT)["files"]]
    assert sorted(path for path in read if path.parent == ARTIFACT) == sorted(listed)


def test_what_is_all_there_needs_nothing_to_be_written(workshop, monkeypatch) -> None:
    toy_build(monkeypatch, workshop)

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("quantkit.build.store.FileLock.acquire", refuse)
    monkeypatch.setattr("quantkit.build.digests.write_json", refuse)
    monkeypatch.setattr("quantkit.build.store.os.access", lambda *_: False)
    _, points = toy_build(monkeypatch, workshop)
    assert points == []
    with pytest.raises(InputError, match=r"--store store: cannot be written, and stage 'quantize'"):
        toy_build(monkeypatch, workshop, overrides=("quantize.bits=8",))


def test_a_file_in_place_of_the_store_is_named(workshop, monkeypatch) -> None:
    STORE.write_text("notes")
    with pytest.raises(InputError, match=r"--store store: found a file in the way"):
        toy_build(monkeypatch, workshop)


def test_a_damaged_artifact_is_written_again(workshop, monkeypatch) -> None:
    toy_build(monkeypatch, workshop)
    (ARTIFACT / "tokens.txt").unlink()
    assert _plan(monkeypatch)["bundle"] == "the artifact's tokens.txt is damaged"
    toy_build(monkeypatch, workshop)
    check_files(ARTIFACT, load_manifest(ARTIFACT))


def test_an_edited_manifest_is_written_again(workshop, monkeypatch) -> None:
    toy_build(monkeypatch, workshop)
    manifest = ARTIFACT / "manifest.json"
    right = manifest.read_text()
    manifest.write_text(right.replace('"token_errors": 1,', '"token_errors": 0,'))
    assert manifest.read_text() != right
    expected = "the artifact's manifest.json was edited after it was written"
    assert _plan(monkeypatch)["bundle"] == expected
    toy_build(monkeypatch, workshop)
    assert manifest.read_text() == right


def test_a_missed_gate_still_leaves_the_artifact(workshop, monkeypatch) -> None:
    built, _ = toy_build(monkeypatch, workshop, overrides=("verify.gates.token_error_rate=0.01",))
    assert (built.artifact / "manifest.json").is_file()
    assert describe_gate(built.gates[0]) == (
        "token_error_rate of toy: measured 0.1, accepted at most 0.01, missed by 0.09; "
        "evidence: manifest.json: parity"
    )


def test_a_directory_of_something_else_is_not_overwritten(workshop, monkeypatch) -> None:
    ARTIFACT.mkdir(parents=True)
    (ARTIFACT / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds no artifact"):
        toy_build(monkeypatch, workshop)
    assert (ARTIFACT / "thesis.tex").read_text() == "years of work"


def test_a_wer_gate_without_texts_is_refused_before_the_work(workshop, monkeypatch) -> None:
    (workshop / "speech.jsonl").write_text(json.dumps({"audio": "one.wav"}))
    with pytest.raises(InputError, match="no utterance has a text"):
        toy_build(monkeypatch, workshop, overrides=("verify.gates.wer_difference=0.01",))
    assert not STORE.exists()


def test_a_missing_checkpoint_is_named(workshop, monkeypatch) -> None:
    with pytest.raises(InputError, match=r"gone\.nemo does not exist"):
        toy_build(monkeypatch, workshop, overrides=("model.source=gone.nemo",))


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("demo-fp32", []),
        ("demo-int4-kquant", ["quantize"]),
        ("demo-int4-kquant-activation", ["calibrate", "quantize"]),
        ("demo-mixed-published", ["calibrate", "quantize"]),
        ("demo-mixed-budget", ["calibrate", "sensitivity", "quantize"]),
    ],
)
def test_the_real_chain_of_a_shipped_recipe(name, needed, workshop) -> None:
    root = Path(__file__).parents[2]
    overrides = ["verify.manifest=speech.jsonl"]
    if "calibrate" in needed:
        overrides.append("calibrate={manifest: speech.jsonl}")
    recipe = load_recipe(root / "recipes" / f"{name}.yaml", overrides)
    stages = chain(recipe, Checkpoint(Path("toy.nemo"), "toy", None, "0" * 64))
    assert [stage.name for stage in stages] == ["export", "fuse", *needed, "verify"]
    assert stages[-1].upstream == (stages[-2].name,)
    if needed:
        assert stages[-2].upstream == ("fuse", *needed[:-1])


def test_another_budget_needs_no_other_measurement(workshop) -> None:
    root = Path(__file__).parents[2]
    speech = ["verify.manifest=speech.jsonl", "calibrate={manifest: speech.jsonl}"]
    checkpoint = Checkpoint(Path("toy.nemo"), "toy", None, "0" * 64)

    def digests(*overrides: str) -> tuple[str, str]:
        path = root / "recipes" / "demo-mixed-budget.yaml"
        found = keys(chain(load_recipe(path, [*speech, *overrides]), checkpoint))
        return found["sensitivity"].digest, found["quantize"].digest

    measured, quantized = digests()
    for same in ("quantize.widths.megabytes=9", "quantize.base.bits=8"):
        assert digests(same)[0] == measured
        assert digests(same)[1] != quantized
    for other in ("sensitivity.utterances=3", "quantize.base.damping=0.02"):
        assert digests(other)[0] != measured


def test_sensitivity_needs_a_scheme_and_speech(workshop) -> None:
    checkpoint = Checkpoint(Path("toy.nemo"), "toy", None, "0" * 64)
    recipe = load_recipe(Path("recipe.yaml"), ["calibrate.manifest=speech.jsonl"])
    stages = sensitivity_chain(recipe, checkpoint)
    assert [stage.name for stage in stages] == ["export", "fuse", "sensitivity"]
    for override, missing in (("quantize=null", "quantize"), ("calibrate=null", "calibrate")):
        recipe = load_recipe(Path("recipe.yaml"), ["calibrate.manifest=speech.jsonl", override])
        with pytest.raises(InputError, match=rf"recipe 'toy' has no {missing}; sensitivity is"):
            sensitivity_chain(recipe, checkpoint)
    whole = ["calibrate.manifest=speech.jsonl", "quantize={scheme: ort-dynamic-int8}"]
    with pytest.raises(SettingError, match=r"quantize\.scheme: found 'ort-dynamic-int8', which"):
        sensitivity_chain(load_recipe(Path("recipe.yaml"), whole), checkpoint)


def test_the_chain_of_a_calibration_alone(workshop) -> None:
    recipe = load_recipe(Path("recipe.yaml"), ["calibrate.manifest=speech.jsonl"])
    checkpoint = Checkpoint(Path("toy.nemo"), "toy", None, "0" * 64)
    stages = calibration_chain(recipe, checkpoint, hessians=True)
    assert [stage.name for stage in stages] == ["export", "fuse", "calibrate"]
    assert stages[-1].settings == {"hessians": True}
    with pytest.raises(InputError, match="names no speech to calibrate on"):
        calibration_chain(load_recipe(Path("recipe.yaml")), checkpoint, hessians=False)
