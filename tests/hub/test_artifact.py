"""What is refused before anything is sent, and what --force makes of it."""

import json
import shutil

import pytest
from huggingface_hub import ModelCard

from quantkit.bundle.manifest import sealed
from tests.hub.conftest import PARITY, RECIPE, make_artifact


def _edit(artifact, change) -> None:
    path = artifact / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest, indent=2) + "\n")


def _flip(path, position=None) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if position is None else position] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["encoder.onnx.data", "joint.onnx", "tokens.txt", "README.md"])
def test_one_flipped_byte(artifact, hub, run, name) -> None:
    _flip(artifact / name)
    ran = run("publish", artifact, "--repo", "org/toy")
    assert ran.code == 2
    assert f"{artifact}/{name}: found sha256 " in ran.err
    assert hub.requests == []


def test_a_missing_file(artifact, hub, run) -> None:
    (artifact / "predictor.onnx.data").unlink()
    for flags in ([], ["--force"]):
        ran = run("publish", artifact, "--repo", "org/toy", *flags)
        assert ran.code == 2
        assert f"{artifact}/predictor.onnx.data: is missing" in ran.err
    assert hub.requests == []


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["parity"].update(token_errors=0),
        lambda manifest: manifest["files"]["tokens.txt"].update(sha256="0" * 64),
        lambda manifest: manifest["graphs"]["encoder"].update(bits_per_weight=2.0),
        lambda manifest: manifest["recipe"]["verify"]["gates"].update(token_error_rate=0.5),
        lambda manifest: manifest.update(digest="0" * 64),
        lambda manifest: manifest.update(more=1),
    ],
)
def test_an_edited_manifest(artifact, hub, run, change) -> None:
    _edit(artifact, change)
    ran = run("publish", artifact, "--repo", "org/toy")
    assert ran.code == 2
    assert f"{artifact}/manifest.json was edited after it was written" in ran.err
    assert hub.requests == []


def test_a_manifest_of_an_older_version(artifact, hub, run) -> None:
    _edit(artifact, lambda manifest: manifest.pop("digest"))
    ran = run("publish", artifact, "--repo", "org/toy")
    assert ran.code == 2
    assert "manifest.json has no digest of its own" in ran.err
    assert "build the artifact again" in ran.err


@pytest.mark.parametrize("name", ["notes.txt", "encoder.onnx.data.bak", ".env"])
def test_a_file_that_the_manifest_does_not_know(artifact, hub, run, name) -> None:
    (artifact / name).write_text("secret")
    ran = run("publish", artifact, "--repo", "org/toy", "--force")
    assert ran.code == 2
    assert f"{artifact}/{name}: is not in manifest.json" in ran.err


def test_a_name_that_leads_out_of_the_artifact(artifact, hub, run) -> None:
    def climb(manifest) -> None:
        manifest["files"]["../secret"] = manifest["files"]["tokens.txt"]
        manifest |= sealed(manifest)

    (artifact.parent / "secret").write_bytes((artifact / "tokens.txt").read_bytes())
    _edit(artifact, climb)
    ran = run("publish", artifact, "--repo", "org/toy", "--force")
    assert ran.code == 2
    assert "found '../secret', accepted: names without a folder" in ran.err


def test_prepared_graphs_stay_here(artifact, hub, run) -> None:
    (artifact / ".prepared").mkdir()
    (artifact / ".prepared" / "encoder.json").write_text("{}")
    assert run("publish", artifact, "--repo", "org/toy").code == 0
    assert not [name for name in hub.content("org/toy") if "prepared" in name]


def test_a_missed_gate(toy_model, hub, run, tmp_path) -> None:
    bad = make_artifact(toy_model, tmp_path / "bad", parity=PARITY | {"token_errors": 21})
    ran = run("publish", bad, "--repo", "org/toy")
    assert ran.code == 1
    assert (
        "gate missed: token_error_rate of toy-int4: measured 0.5, accepted at most 0.1" in ran.err
    )
    assert hub.requests == []

    assert run("publish", bad, "--repo", "org/toy", "--force").code == 0
    there = hub.content("org/toy")
    card, manifest = there["README.md"].decode(), json.loads(there["manifest.json"])
    assert "**Published with `--force`.**" in card
    (problem,) = manifest["forced"]
    assert problem in card
    assert problem.startswith("gate missed: token_error_rate of toy-int4: measured 0.5")


def test_a_gate_of_what_was_not_measured(toy_model, hub, run, tmp_path) -> None:
    gates = {"token_error_rate": 0.1, "kl_mean": 0.01}
    recipe = RECIPE | {"verify": {"manifest": "speech.jsonl", "gates": gates}}
    bad = make_artifact(toy_model, tmp_path / "bad", recipe=recipe, parity=PARITY | {"kl": None})
    ran = run("publish", bad, "--repo", "org/toy")
    assert ran.code == 2
    assert "verify.gates.kl_mean: no decision was compared" in ran.err


def test_what_was_forced_can_be_opened_and_says_so(artifact, hub, run) -> None:
    _flip(artifact / "tokens.txt", 0)
    _edit(artifact, lambda manifest: manifest["parity"].update(token_errors=0))
    assert run("publish", artifact, "--repo", "org/toy", "--force").code == 0
    there = hub.content("org/toy")
    card = there["README.md"].decode()
    assert "> - manifest.json was edited after it was written" in card
    assert "> - tokens.txt: found sha256 " in card
    assert there["tokens.txt"] == (artifact / "tokens.txt").read_bytes()

    ran = run("publish", "hf://org/toy", "--repo", "org/again")
    assert ran.code == 1
    assert "tokens.txt: found sha256 " in ran.err
    assert run("publish", "hf://org/toy", "--repo", "org/again", "--force").code == 0
    again = hub.content("org/again")
    assert (
        json.loads(again["manifest.json"])["forced"] == json.loads(there["manifest.json"])["forced"]
    )


def test_a_directory_that_is_no_artifact(hub, run, tmp_path) -> None:
    ran = run("publish", tmp_path, "--repo", "org/toy")
    assert ran.code == 2
    assert "found no manifest.json" in ran.err


def test_a_dry_run_tells_all_and_touches_no_network(artifact, hub, run, monkeypatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    hub.down = True
    ran = run("publish", artifact, "--repo", "org/toy", "--dry-run")
    assert ran.code == 0
    assert hub.requests == []
    manifest = json.loads((artifact / "manifest.json").read_text())
    del manifest["files"]["README.md"]
    for name, facts in manifest["files"].items():
        (line,) = [line for line in ran.out.splitlines() if line.split()[:1] == [name]]
        assert line.split() == [name, f"{facts['bytes']:,}", facts["sha256"]]
    card = ModelCard(ran.out[ran.out.index("---\n") :])
    assert card.data["license"] == "apache-2.0"
    assert card.text.startswith("\n# toy-int4\n")


def test_the_same_artifact_is_the_same_publication(artifact, hub, run, tmp_path) -> None:
    first = run("publish", artifact, "--repo", "org/toy", "--dry-run").out
    shutil.copytree(artifact, tmp_path / "elsewhere")
    assert run("publish", tmp_path / "elsewhere", "--repo", "org/toy", "--dry-run").out == first
    assert str(tmp_path) not in first
