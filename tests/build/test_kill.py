"""Killed at any moment, the next build resumes and gives the same bytes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quantkit.core.files import sha256_file
from tests.build.toy import ARTIFACT, make_workshop, toy_build

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
POINTS = [
    "export inside encoder.onnx",
    "export ends",
    "before rename of export",
    "after rename of export",
    "fuse inside tokens.txt",
    "quantize inside joint.onnx",
    "before rename of verify",
    "before rename of out",
    "after rename of out",
]


def _tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "locks" not in path.parts
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    workshop = make_workshop(tmp_path_factory.mktemp("whole") / "shop")
    with pytest.MonkeyPatch.context() as patch:
        toy_build(patch, workshop)
    return _tree(workshop / ARTIFACT)


def _child(workshop: Path, stdin: int = subprocess.PIPE) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.build.toy"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        command,
        cwd=workshop,
        stdin=stdin,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )


def _kill_at(point: str, workshop: Path) -> None:
    with _child(workshop) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for line in child.stdout:
            if line.strip() == point:
                child.kill()
                break
            child.stdin.write("\n")
            child.stdin.flush()
        assert child.wait() == -signal.SIGKILL, f"never came to {point!r}"


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_build_resumes_with_the_same_bytes(
    point, tmp_path, monkeypatch, undisturbed
) -> None:
    workshop = make_workshop(tmp_path / "shop")
    _kill_at(point, workshop)

    complete = {path.parents[1].name for path in (workshop / "store").glob("*/[!.]*/entry.json")}
    _, points = toy_build(monkeypatch, workshop)

    assert _tree(workshop / ARTIFACT) == undisturbed
    assert complete.isdisjoint(name.split()[0] for name in points), "done work was done again"
    assert not list(workshop.rglob(".*.partial")), "leftovers of the killed run stayed"


def test_a_killed_stage_goes_on_from_its_scratch(tmp_path, monkeypatch, undisturbed) -> None:
    workshop = make_workshop(tmp_path / "shop")
    _kill_at("quantize inside joint.onnx", workshop)
    _, points = toy_build(monkeypatch, workshop)
    assert "quantize inside predictor.onnx" not in points
    assert "quantize inside joint.onnx" in points
    assert _tree(workshop / ARTIFACT) == undisturbed
    assert not list(workshop.rglob(".*.scratch"))


def test_forced_work_begins_at_its_beginning(tmp_path, monkeypatch) -> None:
    workshop = make_workshop(tmp_path / "shop")
    _kill_at("export inside joint.onnx", workshop)
    _, points = toy_build(monkeypatch, workshop, force=True)
    assert "export inside encoder.onnx" in points


def test_killed_twice_at_different_points(tmp_path, monkeypatch, undisturbed) -> None:
    workshop = make_workshop(tmp_path / "shop")
    _kill_at("fuse ends", workshop)
    _kill_at("verify begins", workshop)
    toy_build(monkeypatch, workshop)
    assert _tree(workshop / ARTIFACT) == undisturbed


def test_two_processes_do_not_do_the_same_work(tmp_path) -> None:
    workshop = make_workshop(tmp_path / "shop")
    children = [_child(workshop, subprocess.DEVNULL) for _ in range(2)]
    said = "".join(child.communicate()[0] for child in children)
    assert [child.returncode for child in children] == [0, 0]
    for stage in ("export", "fuse", "quantize", "verify"):
        assert said.count(f"{stage} begins") == 1
