"""What arrives, and what a broken upload leaves to do."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading

import pytest

from quantkit.bundle.manifest import load_manifest, seal_problem
from tests.hub.conftest import make_artifact
from tests.hub.endpoints import PART
from tests.hub.hub import TOKEN, Blob, Fault

FIRST = "0" * 40


def _state(folder):
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def _large(hub, artifact):
    """Digest and size of the files that the hub keeps as large ones, as the manifest says."""
    files = json.loads((artifact / "manifest.json").read_text())["files"]
    sent = {facts["sha256"]: facts["bytes"] for facts in files.values()}
    return {sha256: size for sha256, size in sent.items() if sha256 in hub.objects}


def _assert_is_the_artifact(hub, artifact) -> None:
    """The hub holds every file of the artifact, and no large one was taken twice."""
    content = hub.content("org/toy")
    here = {path.name: path.read_bytes() for path in artifact.iterdir() if path.is_file()}
    del content[".gitattributes"]
    assert content.keys() == here.keys()
    assert {name for name in here if here[name] != content[name]} == {"README.md", "manifest.json"}
    assert len(hub.objects) == 7
    assert set(hub.stored.values()) == {1}


def test_what_is_published_is_the_artifact(artifact, hub, run, tmp_path) -> None:
    before = _state(artifact)
    ran = run("publish", artifact, "--repo", "org/toy")
    assert ran.code == 0, ran.err
    (commit,) = hub.repos["org/toy"].commits.keys() - {FIRST}
    assert ran.out == f"hf://org/toy@{commit}: 11 files, as sent\n"
    assert hub.repos["org/toy"].private
    assert _state(artifact) == before
    _assert_is_the_artifact(hub, artifact)
    assert hub.received == sum(_large(hub, artifact).values())

    for name, content in hub.content("org/toy").items():
        (tmp_path / name).write_bytes(content)
    there, here = load_manifest(tmp_path), load_manifest(artifact)
    assert seal_problem(there) is None
    del here["files"]["README.md"]
    assert there["files"] == here["files"]
    assert all(there[key] == here[key] for key in here.keys() - {"files", "total_bytes", "digest"})
    assert TOKEN not in (tmp_path / "manifest.json").read_text()


def test_publishing_again_sends_nothing(artifact, hub, run) -> None:
    first = run("publish", artifact, "--repo", "org/toy")
    received = hub.received
    assert run("publish", artifact, "--repo", "org/toy").out == first.out
    assert hub.received == received
    assert len(hub.repos["org/toy"].commits) == 2


@pytest.mark.slow
def test_an_upload_cut_twenty_times(artifact, hub, run, waits) -> None:
    """Each time at a random byte; the hub then stays away until the command is given again."""
    randomly = random.Random(20)
    sizes = {path.stat().st_size for path in artifact.glob("*.data")}
    total = sum(sizes)
    wasted = 0
    for _ in range(20):
        done = sum(len(content) for content in hub.objects.values() if len(content) in sizes)
        before, stored = hub.received, sum(map(len, hub.objects.values()))
        hub.cut_after = randomly.randrange(1, total - done)
        ran = run("publish", artifact, "--repo", "org/toy")
        assert ran.code == 2
        assert "cannot reach" in ran.err
        wasted += hub.received - before - (sum(map(len, hub.objects.values())) - stored)
        hub.down = False
        assert list(hub.repos["org/toy"].commits) == [FIRST]
    assert run("publish", artifact, "--repo", "org/toy").code == 0
    _assert_is_the_artifact(hub, artifact)
    # All that came besides the files is what the cuts broke off: less than a file each.
    assert hub.received - wasted == sum(_large(hub, artifact).values())
    assert 0 < wasted < 20 * max(sizes)


def test_a_cut_connection_is_taken_up_in_the_same_run(artifact, hub, run, waits) -> None:
    """Of a file in parts only the part that broke is sent again."""
    broken: list[str] = []

    def cut_once(name, _size):
        if name.endswith("-0") and not broken and hub.received > 3 << 19:
            broken.append(name)
            raise ConnectionError

    hub.on_piece = cut_once
    assert run("publish", artifact, "--repo", "org/toy").code == 0
    _assert_is_the_artifact(hub, artifact)
    assert broken
    assert hub.received - sum(_large(hub, artifact).values()) < PART


@pytest.mark.slow
def test_a_process_killed_in_the_middle(artifact, hub) -> None:
    command = [sys.executable, "-m", "quantkit.cli", "publish", str(artifact), "--repo", "org/toy"]
    reached, go_on = threading.Event(), threading.Event()

    def stop_in_the_largest(name, _size):
        if "-" in name and hub.received > 3 << 19:
            reached.set()
            go_on.wait(30)

    hub.on_piece = stop_in_the_largest
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        assert reached.wait(60)
        os.kill(first.pid, signal.SIGKILL)
        said = b"".join(first.communicate())
    go_on.set()
    assert list(hub.repos["org/toy"].commits) == [FIRST]
    assert not {path.name for path in artifact.iterdir()} & {".cache", ".gitattributes"}

    hub.on_piece = lambda *_: None
    second = subprocess.run(command, capture_output=True)
    assert second.returncode == 0, second.stderr
    _assert_is_the_artifact(hub, artifact)
    assert TOKEN.encode() not in said + second.stdout + second.stderr


def test_a_commit_whose_answer_is_lost_is_made_once(artifact, hub, run, waits) -> None:
    hub.faults.append(Fault("POST .*/commit/", 0, done=True))
    assert run("publish", artifact, "--repo", "org/toy").code == 0
    assert len(hub.repos["org/toy"].commits) == 2
    assert hub.received == sum(_large(hub, artifact).values())


def test_a_branch_that_moved_meanwhile_is_not_overwritten(artifact, hub, run) -> None:
    def move(*_) -> None:
        repo = hub.repos["org/toy"]
        repo.commits["e" * 40] = repo.commits[FIRST]
        repo.branches["main"] = "e" * 40

    hub.on_piece = move
    ran = run("publish", artifact, "--repo", "org/toy")
    assert ran.code == 2
    assert "somebody else changed the repository meanwhile" in ran.err
    assert hub.repos["org/toy"].branches["main"] == "e" * 40


def test_a_new_artifact_replaces_the_old_one(artifact, hub, run, toy_model, tmp_path) -> None:
    assert run("publish", artifact, "--repo", "org/toy").code == 0
    smaller = tmp_path / "smaller"
    smaller.mkdir()
    for path in toy_model.iterdir():
        if path.name != "joint.onnx.data":
            (smaller / path.name).write_bytes(path.read_bytes())
    (smaller / "joint.onnx").write_bytes((smaller / "predictor.onnx").read_bytes())
    facts = {"graphs": load_manifest(artifact)["graphs"]}
    other = make_artifact(smaller, tmp_path / "other", **facts)
    received = hub.received
    assert run("publish", other, "--repo", "org/toy").code == 0
    assert hub.content("org/toy").keys() - {".gitattributes"} == {p.name for p in other.iterdir()}
    assert hub.received == received  # all of its large files had arrived with the old one


def test_a_branch(artifact, hub, run) -> None:
    ran = run("publish", artifact, "--repo", "org/toy", "--revision", "int4", "--public")
    assert ran.code == 0
    assert not hub.repos["org/toy"].private
    assert hub.repos["org/toy"].branches["main"] == FIRST
    assert "hf://org/toy@int4" in hub.content("org/toy", "int4")["README.md"].decode()


@pytest.mark.parametrize("foreign", ["model.safetensors", "notes/a.txt"])
@pytest.mark.parametrize("manifest", [None, b'{"files": ["a"]}', b"[]"])
def test_files_of_somebody_else_are_not_touched(artifact, hub, run, foreign, manifest) -> None:
    repo = hub.add("org/toy")
    if manifest is not None:
        blob = Blob(len(manifest), hashlib.sha256(manifest).hexdigest(), manifest)
        repo.commits[FIRST]["manifest.json"] = blob
    repo.commits[FIRST][foreign] = repo.commits[FIRST][".gitattributes"]
    ran = run("publish", artifact, "--repo", "org/toy")
    assert ran.code == 2
    assert f"found {foreign}, which are no part of an artifact" in ran.err
    assert list(repo.commits) == [FIRST]
