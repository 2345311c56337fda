"""What the runtime compares with an artifact's manifest before it runs it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from quantkit.core.errors import InputError
from quantkit.core.integrity import file_facts, sealed
from quantkit.runtime.transcriber import Transcriber


@pytest.fixture
def artifact(tiny_artifact: Path, tmp_path: Path) -> Path:
    """A directory with weights beside one graph, files that the runtime ignores, a manifest."""
    folder = shutil.copytree(tiny_artifact, tmp_path / "artifact")
    model = onnx.load(folder / "encoder.onnx")
    (folder / "encoder.onnx").unlink()
    onnx.save(
        model,
        folder / "encoder.onnx",
        save_as_external_data=True,
        location="encoder.onnx.data",
        size_threshold=0,
    )
    (folder / "tokenizer.model").write_bytes(b"pieces")
    files = {path.name: file_facts(path) for path in folder.iterdir()}
    (folder / "manifest.json").write_text(json.dumps(sealed({"schema": 1, "files": files})))
    return folder


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def edit(folder: Path, change: Callable[[dict[str, Any]], object], *, seal: bool) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(sealed(manifest) if seal else manifest))


def test_a_sound_artifact_loads(artifact: Path) -> None:
    Transcriber.load(artifact, 1)
    Transcriber.load(artifact, 1, check=True)


@pytest.mark.parametrize(
    "name", ["encoder.onnx", "predictor.onnx", "joint.onnx", "streaming.json", "tokens.txt"]
)
def test_graphs_settings_and_tokens_are_compared(artifact: Path, name: str) -> None:
    flip(artifact / name)
    with pytest.raises(InputError, match=rf"{name}: found sha256 .*\n.*build it again"):
        Transcriber.load(artifact, 1)


def test_weights_are_compared_by_size_and_by_digest_where_asked(artifact: Path) -> None:
    flip(artifact / "encoder.onnx.data")
    Transcriber.load(artifact, 1)
    with pytest.raises(InputError, match=r"encoder\.onnx\.data: found sha256"):
        Transcriber.load(artifact, 1, check=True)
    (artifact / "encoder.onnx.data").write_bytes(b"cut")
    with pytest.raises(InputError, match=r"encoder\.onnx\.data: found 3 bytes, the manifest says"):
        Transcriber.load(artifact, 1)
    (artifact / "encoder.onnx.data").unlink()
    with pytest.raises(InputError, match=r"encoder\.onnx\.data: is missing"):
        Transcriber.load(artifact, 1)


def test_what_the_runtime_does_not_read_may_be_left_out(artifact: Path) -> None:
    (artifact / "tokenizer.model").unlink()
    (artifact / "notes.txt").write_text("mine")
    Transcriber.load(artifact, 1)
    with pytest.raises(InputError, match=r"tokenizer\.model: is missing"):
        Transcriber.load(artifact, 1, check=True)


def test_a_model_without_a_manifest_has_nothing_to_be_compared_with(artifact: Path) -> None:
    (artifact / "manifest.json").unlink()
    flip(artifact / "tokenizer.model")
    Transcriber.load(artifact, 1)
    with pytest.raises(InputError, match=r"found no manifest\.json to compare its files with"):
        Transcriber.load(artifact, 1, check=True)


def test_an_edited_manifest_is_refused(artifact: Path) -> None:
    edit(artifact, lambda m: m["files"]["encoder.onnx.data"].update(bytes=3), seal=False)
    with pytest.raises(InputError, match=r"manifest\.json: was edited after it was written"):
        Transcriber.load(artifact, 1)


def test_a_graph_that_the_manifest_leaves_out_is_refused(artifact: Path) -> None:
    edit(artifact, lambda m: m["files"].pop("joint.onnx"), seal=True)
    with pytest.raises(InputError, match=r"joint\.onnx: is not in manifest\.json"):
        Transcriber.load(artifact, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(files={}), "files: found an object of 0"),
        (lambda m: m.update(files=None), "files: found None, accepted: an object"),
        (lambda m: m.pop("files"), "missing files"),
        (lambda m: m["files"]["joint.onnx"].pop("sha256"), r"files\.joint\.onnx: missing sha256"),
        (lambda m: m["files"].update({"a\0b": {}}), r"files: found 'a\\x00b', accepted: names"),
        (
            lambda m: m["files"]["joint.onnx"].update(bytes=10**30),
            r"files\.joint\.onnx\.bytes: found 1000",
        ),
    ],
)
def test_a_malformed_manifest_is_refused(
    artifact: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit(artifact, change, seal=True)
    with pytest.raises(InputError, match=rf"manifest\.json: {message}"):
        Transcriber.load(artifact, 1)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"files": NaN}', "[" * 100_000])
def test_a_manifest_that_is_none_is_refused(artifact: Path, content: str) -> None:
    (artifact / "manifest.json").write_text(content)
    with pytest.raises(InputError, match=r"manifest\.json:"):
        Transcriber.load(artifact, 1)
