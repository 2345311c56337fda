from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantkit.bench.candidate import find_candidates
from quantkit.core.errors import InputError
from tests.runtime.conftest import streaming_json


def directory(path: Path, **sizes: int) -> Path:
    path.mkdir(parents=True)
    for name, size in sizes.items():
        (path / name.replace("__", ".")).write_bytes(bytes(size))
    return path


def test_an_artifact_counts_all_files_and_its_encoder_apart(tmp_path: Path) -> None:
    files = {"encoder__onnx": 5, "encoder__onnx__data": 70, "joint__onnx": 3}
    folder = directory(tmp_path / "ours", **files)
    text = json.dumps(streaming_json())
    (folder / "streaming.json").write_text(text)
    directory(folder / ".prepared", encoder__onnx=99)  # made by loading it, no part of it
    (found,) = find_candidates([folder])
    assert (found.kind, found.recognizes) == ("artifact", True)
    assert found.name == "ours"
    assert (found.bytes, found.encoder_bytes) == (78 + len(text), 75)


def test_another_exporters_directory_is_an_encoder_alone(tmp_path: Path) -> None:
    files = {"encoder-int8__onnx": 5, "weights__bin": 70, "decoder__onnx": 3}
    (found,) = find_candidates([directory(tmp_path / "theirs", **files)])
    assert (found.kind, found.recognizes) == ("encoder", False)
    assert found.graph.name == "encoder-int8.onnx"
    assert found.bytes == found.encoder_bytes == 78


def test_a_file_counts_what_is_named_after_it(tmp_path: Path) -> None:
    folder = directory(tmp_path / "x", a__onnx=5, a__onnx__data=70, b__onnx=3)
    (found,) = find_candidates([folder / "a.onnx"])
    assert found.name == "x/a.onnx"
    assert found.bytes == 75


def test_a_checkpoint_is_a_recognizer_whose_encoder_has_no_file(demo_checkpoint: Path) -> None:
    (found,) = find_candidates([demo_checkpoint])
    assert (found.name, found.kind, found.recognizes) == ("demo.nemo", "nemo", True)
    assert found.bytes == demo_checkpoint.stat().st_size
    assert found.encoder_bytes is None


def test_equal_names_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    folders = [directory(tmp_path / top / "model", a__onnx=1) for top in ("x", "y")]
    assert [c.name for c in find_candidates(folders)] == [str(folder) for folder in folders]


def test_what_cannot_be_measured_is_refused_by_name(tmp_path: Path) -> None:
    two = directory(tmp_path / "two", a__onnx=1, b__onnx=1)
    for path, message in [
        (tmp_path / "absent", "not found"),
        (directory(tmp_path / "empty"), "no .onnx file"),
        (two, "a.onnx, b.onnx"),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            find_candidates([path])
        assert str(path) in str(caught.value)
    with pytest.raises(InputError, match="twice"):
        find_candidates([two / "a.onnx", two / "a.onnx"])
