"""Artifacts by their name on the hub."""

import json
import os
import shutil
import subprocess
import sys

import onnx
import pytest
import soundfile

from quantkit.bundle.manifest import check_files, load_manifest, sealed
from quantkit.hub.snapshot import open_snapshot
from quantkit.runtime.transcriber import Transcriber
from tests.cli.blocked import BUILD_EXTRA, without
from tests.hub.conftest import make_artifact
from tests.hub.hub import Fault
from tests.runtime.conftest import speech_like, tiny_artifact

__all__ = ["speech_like", "tiny_artifact"]

#: The tests' own packages, and what the hub's client brings with it.
NOT_NEEDED = [name for name in BUILD_EXTRA if name != "filelock"]


@pytest.fixture
def published(artifact, hub, run) -> str:
    """The commit of an artifact that is on the hub."""
    return run("publish", artifact, "--repo", "org/toy").out.partition("@")[2][:40]


def test_a_snapshot_is_the_artifact_in_files_of_its_own(artifact, hub, published) -> None:
    snapshot = open_snapshot("hf://org/toy")
    assert snapshot.commit == published
    manifest = load_manifest(snapshot.directory)
    check_files(snapshot.directory, manifest)
    here = {path.name for path in snapshot.directory.iterdir()}
    assert here == {path.name for path in artifact.iterdir()} - {"README.md"}
    assert not any(path.is_symlink() for path in snapshot.directory.iterdir())
    onnx.load(snapshot.directory / "encoder.onnx")  # which refuses links


def test_a_pinned_snapshot_needs_no_network(hub, published) -> None:
    first = open_snapshot(f"hf://org/toy@{published}")
    hub.down, hub.requests = True, []
    assert open_snapshot(f"hf://org/toy@{published}") == first
    assert hub.requests == []


def test_a_branch_is_looked_up_and_downloaded_once(hub, published) -> None:
    first = open_snapshot("hf://org/toy@main")
    hub.requests.clear()
    assert open_snapshot("hf://org/toy") == first
    assert hub.requests == ["GET /api/models/org/toy/revision/main"]


def test_what_arrived_wrong_is_fetched_again(hub, published) -> None:
    right = hub.content("org/toy")["predictor.onnx.data"]
    hub.tampered["predictor.onnx.data"] = bytes(len(right))
    snapshot = open_snapshot("hf://org/toy")
    assert (snapshot.directory / "predictor.onnx.data").read_bytes() == right


def test_a_broken_download_goes_on(hub, published, run, waits) -> None:
    hub.faults.append(Fault("GET .*/encoder.onnx.data", 500, times=99))
    ran = run("transcribe", "hf://org/toy", "a.wav")
    assert ran.code == 2
    assert "answered 500" in ran.err
    hub.faults.clear()
    hub.requests.clear()
    assert open_snapshot("hf://org/toy").commit == published
    fetched = [request for request in hub.requests if request.startswith("GET /org")]
    assert any("encoder.onnx.data" in request for request in fetched)
    assert len(fetched) < 9


def test_a_snapshot_that_somebody_edited(artifact, hub, run, published, tmp_path) -> None:
    blob = hub.repos["org/toy"].commits[published]["manifest.json"]
    assert blob.content is not None
    manifest = json.loads(blob.content)
    manifest["parity"]["token_errors"] = 0
    blob.content = json.dumps(manifest).encode()
    blob.size = len(blob.content)
    ran = run("verify", "hf://org/toy")
    assert ran.code == 2
    assert "hf://org/toy: manifest.json was edited after it was written" in ran.err


@pytest.mark.parametrize("name", ["hf://toy", "hf:org/toy", "hf://org/toy@", "hf://a/b/c"])
@pytest.mark.parametrize("command", ["transcribe", "verify", "bench", "publish"])
def test_names_that_are_none(hub, run, command, name) -> None:
    more = {"transcribe": ["a.wav"], "publish": ["--repo", "org/toy"]}.get(command, [])
    ran = run(command, name, *more)
    assert ran.code == 2
    assert f"found {name!r}, accepted: hf://ORGANISATION/NAME" in ran.err


def test_a_repository_of_another_kind(hub, run) -> None:
    hub.add("org/other")
    ran = run("transcribe", "hf://org/other", "a.wav")
    assert ran.code == 2
    assert "hf://org/other: found no manifest.json, accepted: an artifact that" in ran.err


@pytest.mark.parametrize("commit", ["../../../outside", "", "A" * 40, "0" * 39])
def test_a_commit_that_is_none(hub, published, run, tmp_path, commit) -> None:
    repo = hub.repos["org/toy"]
    repo.branches["main"] = commit
    repo.commits[commit] = repo.commits[published]
    before = set(tmp_path.rglob("*"))
    ran = run("transcribe", "hf://org/toy", "a.wav")
    assert ran.code == 2
    assert f"hf://org/toy: the hub says {commit!r} is the commit, which is none" in ran.err
    assert set(tmp_path.rglob("*")) == before


def test_sizes_are_bounded_by_the_manifest(hub, published, run) -> None:
    hub.lies["predictor.onnx.data"] = {"size": 10**15}
    ran = run("transcribe", "hf://org/toy", "a.wav")
    assert ran.code == 2
    assert "predictor.onnx.data: the hub has 1000000000000000 bytes, the manifest says" in ran.err
    hub.lies["manifest.json"] = {"size": 10**15}
    hub.requests.clear()
    ran = run("transcribe", "hf://org/toy", "a.wav")
    assert ran.code == 2
    assert "size of manifest.json: found 1000000000000000" in ran.err
    assert not [one for one in hub.requests if "resolve" in one]


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(files=None),
        lambda manifest: manifest["files"].update({"../secret": {"bytes": 1, "sha256": "0" * 64}}),
        lambda manifest: manifest.update(parity=None),
    ],
)
def test_a_manifest_of_another_shape(hub, run, published, change) -> None:
    blob = hub.repos["org/toy"].commits[published]["manifest.json"]
    assert blob.content is not None
    manifest = json.loads(blob.content)
    change(manifest)
    blob.content = json.dumps(sealed(manifest)).encode()
    blob.size = len(blob.content)
    ran = run("transcribe", "hf://org/toy", "a.wav")
    assert ran.code == 2
    assert "manifest.json: " in ran.err


def test_answers_that_no_hub_gives(hub, run, published, waits) -> None:
    hub.faults.append(Fault("GET /api/models/org/toy/revision/main", 200, times=9))
    ran = run("transcribe", "hf://org/toy", "a.wav")
    assert ran.code == 2
    assert "hf://org/toy: " in ran.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("socks5://127.0.0.1:9", "a SOCKS proxy, for which the package 'socksio' is missing"),
        ("socks9://127.0.0.1:9", "HTTP_PROXY names cannot be used"),
    ],
)
def test_proxies_of_another_kind(proxy, said, tmp_path) -> None:
    environment = os.environ | {"ALL_PROXY": proxy, "HF_HOME": str(tmp_path), "NO_PROXY": ""}
    script = "import sys; from quantkit.cli import main; sys.exit(main(sys.argv[1:]))"
    for words in (["transcribe", "hf://org/toy", "a.wav"], ["verify", "hf://org/toy"]):
        command = [sys.executable, "-c", script, *words]
        ran = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert ran.returncode == 2, ran.stderr
        assert said in ran.stderr


@pytest.mark.parametrize("name", ["hf://org/none", "hf://org/toy@v9"])
def test_what_the_hub_does_not_have(hub, published, run, name) -> None:
    ran = run("transcribe", name, "a.wav")
    assert ran.code == 2
    assert f"{name}: {hub.url} answered 404" in ran.err


@pytest.mark.slow
def test_an_artifact_transcribes_by_name_with_the_runtime_alone(
    tiny_artifact, speech_like, hub, run, tmp_path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_artifact, model)
    (model / "tokenizer.model").write_bytes(b"\0pieces")
    local = make_artifact(model, tmp_path / "toy-int4")
    assert run("publish", local, "--repo", "org/toy").code == 0
    commit = hub.repos["org/toy"].branches["main"]
    wav = tmp_path / "speech.wav"
    soundfile.write(wav, speech_like, 16_000, subtype="FLOAT")

    script = f"{without(NOT_NEEDED)}\nfrom quantkit.cli import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "transcribe", "hf://org/toy", str(wav)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == Transcriber.load(local).transcribe(wav).text
    assert f"hf://org/toy: commit {commit}" in ran.stderr


@pytest.mark.parametrize(
    "words", [["transcribe", "hf://org/toy", "a.wav"], ["publish", "artifact", "--repo", "org/toy"]]
)
def test_without_the_hubs_client(words) -> None:
    script = (
        f"{without(['huggingface_hub', 'httpx2', 'filelock'])}\nfrom quantkit.cli import main\n"
    )
    command = [sys.executable, "-c", script + "sys.exit(main(sys.argv[1:]))", *words]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 3
    assert "pip install 'quantkit[hub]'" in ran.stderr
