"""Layouts for other runtimes are sealed as artifacts are, and can be published as they are."""

import json
import shutil

import pytest

from quantkit.bundle import layouts
from quantkit.bundle.manifest import load_manifest, seal_problem
from tests.hub.conftest import make_artifact
from tests.runtime.conftest import tiny_artifact

__all__ = ["tiny_artifact"]


@pytest.fixture
def local(tiny_artifact, tmp_path, monkeypatch):
    """An artifact, of which layouts can be written that say what they are and nothing more."""
    model = shutil.copytree(tiny_artifact, tmp_path / "model")
    (model / "tokenizer.model").write_bytes(b"\0pieces")
    for name in ("genai", "sherpa"):

        def write(artifact, settings, out, name=name) -> None:
            (out / f"encoder.{name}.onnx").write_text(name)

        monkeypatch.setitem(layouts._WRITERS, name, write)
    monkeypatch.setattr(layouts, "check_layout", lambda *_: 0.0)
    return make_artifact(model, tmp_path / "toy-int4")


@pytest.mark.parametrize(
    "wanted",
    [["genai"], ["sherpa"], ["native"], ["genai", "native"], ["genai", "sherpa", "native"]],
    ids="+".join,
)
def test_a_bundle_is_published_as_it_is(local, tmp_path, run, wanted) -> None:
    formats = [word for name in wanted for word in ("--format", name)]
    assert run("bundle", local, *formats, "--out", tmp_path / "out").code == 0
    assert seal_problem(load_manifest(tmp_path / "out")) is None
    ran = run("publish", tmp_path / "out", "--repo", "org/toy", "--dry-run")
    assert ran.code == 0, ran.err
    if "native" in wanted:
        words = ["--format", "native", "--format", "sherpa", "--out", tmp_path / "again"]
        assert run("bundle", tmp_path / "out", *words).code == 0
        assert run("publish", tmp_path / "again", "--repo", "org/toy", "--dry-run").code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda m: m["recipe"]["verify"]["gates"].update(token_error_rate=0.99),
            "manifest.json was edited after it was written",
        ),
        (lambda m: m.pop("digest"), "manifest.json has no digest of its own"),
        (lambda m: m.update(files={}), "manifest.json: files: found an object of 0"),
        (lambda m: m.update(files=None), "manifest.json: files: found None"),
        (lambda m: m.update(parity=None), "manifest.json: parity: found None"),
    ],
)
@pytest.mark.parametrize("command", ["verify", "bundle", "publish", "transcribe", "bench"])
def test_an_edited_manifest_is_refused_by_every_command(local, run, change, said, command) -> None:
    path = local / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    words = {
        "bundle": ["--format", "native", "--out", local.parent / "out"],
        "publish": ["--repo", "org/toy", "--dry-run"],
        "transcribe": ["a.wav"],
    }.get(command, [])
    ran = run(command, local, *words)
    assert ran.code == 2
    if said not in ran.err:  # the runtime needs no more of it than the files, and the seal
        assert command in {"transcribe", "bench"}
        assert "manifest.json: was edited after" in ran.err or "no digest of its own" in ran.err
