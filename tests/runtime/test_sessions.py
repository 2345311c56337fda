from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from quantkit.core.errors import InputError
from quantkit.runtime.transcriber import Transcriber


@pytest.fixture
def artifact(tiny_artifact: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return shutil.copytree(tiny_artifact, tmp_path / "artifact")


def edit(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent: no such artifact directory"):
        Transcriber.load(tmp_path / "absent")


@pytest.mark.parametrize(
    "name", ["streaming.json", "tokens.txt", "encoder.onnx", "predictor.onnx", "joint.onnx"]
)
def test_missing_files_are_named(artifact: Path, name: str) -> None:
    (artifact / name).unlink()
    with pytest.raises(InputError, match=name):
        Transcriber.load(artifact)


@pytest.mark.parametrize("content", [b"", b"not a graph", None])
def test_broken_graphs_are_named(artifact: Path, content: bytes | None) -> None:
    path = artifact / "encoder.onnx"
    path.write_bytes(path.read_bytes()[:500] if content is None else content)
    with pytest.raises(InputError, match=r"encoder\.onnx: ONNX Runtime .* cannot load it"):
        Transcriber.load(artifact)


def test_graph_of_another_chunk_is_refused(artifact: Path) -> None:
    edit(
        artifact / "streaming.json",
        lambda content: content.update(
            right_context=6, chunk_frames=56, window_frames=65, chunk_s=0.56
        ),
    )
    with pytest.raises(InputError, match=r"encoder\.onnx: does not match .*'features' is .*25.*65"):
        Transcriber.load(artifact)


def test_every_difference_is_named(artifact: Path) -> None:
    edit(
        artifact / "streaming.json",
        lambda c: c.update(encoder={"dim": 8, "layers": 3, "heads": 2, "conv_cache": 8}),
    )
    with pytest.raises(InputError) as caught:
        Transcriber.load(artifact)
    message = str(caught.value)
    assert "input 'key_cache_2' is missing" in message
    assert "output 'key_cache_2_next' is missing" in message
    assert (
        "input 'conv_cache_0' is tensor(float) ['batch', 4, 8], expected tensor(float) [1, 8, 8]"
        in message
    )


def test_graphs_that_swapped_names_are_refused(artifact: Path) -> None:
    shutil.copy(artifact / "joint.onnx", artifact / "predictor.onnx")
    with pytest.raises(InputError, match=r"predictor\.onnx: .*input 'token' is missing"):
        Transcriber.load(artifact)


def test_vocabulary_of_another_size_is_refused(artifact: Path) -> None:
    (artifact / "tokens.txt").write_text("a 0\n<blk> 1\n")
    with pytest.raises(InputError, match=r"has 1 pieces before the blank.*vocabulary_size 12"):
        Transcriber.load(artifact)
