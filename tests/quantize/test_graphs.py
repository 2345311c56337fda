from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.quantize.graphs import quantize_model
from quantkit.quantize.settings import KQuantSettings
from tests.quantize.graphs import matrix, run, two_layers


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    directory.mkdir()
    for name in ("encoder", "joint"):
        two_layers(directory / f"{name}.onnx", external=name == "encoder")
    (directory / "streaming.json").write_text("{}")
    (directory / "tokenizer.model").write_bytes(b"\0\1")
    return directory


def quantize(model: Path, out: Path, **settings: Any) -> None:
    out.mkdir()
    quantize_model(model, None, KQuantSettings(**settings), out, Silent())


def test_a_directory_becomes_a_quantized_directory(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    quantize(model, out, exclude=["joint/*"])
    names = {path.name for path in out.iterdir()}
    assert {"encoder.onnx", "joint.onnx", "quantize.json"} <= names
    assert (out / "tokenizer.model").read_bytes() == b"\0\1"
    assert (out / "streaming.json").read_text() == "{}"
    report = json.loads((out / "quantize.json").read_text())["graphs"]
    assert [t["bits"] for t in report["encoder"]["tensors"]] == [4, 4, 32]
    assert {t["bits"] for t in report["joint"]["tensors"]} == {32}
    assert report["joint"]["bits_per_weight"] == 32
    assert report["encoder"]["bits_per_weight"] < 9

    x = matrix(4, 40)
    before, after = (run(d / "joint.onnx", x=x)[0] for d in (model, out))
    np.testing.assert_array_equal(before, after)


def test_the_same_inputs_give_the_same_bytes(model: Path, tmp_path: Path) -> None:
    quantize(model, tmp_path / "a")
    quantize(model, tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_glob_is_looked_up_in_all_graphs(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"quantize.exclude\[0\].* 4 quantizable"):
        quantize(model, tmp_path / "out", exclude=["decoder/*"])


def test_activation_importance_is_read_and_required(model: Path, tmp_path: Path) -> None:
    settings = KQuantSettings(importance="activation", block_size=16)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InputError, match=r"'kquant' needs activation statistics.* under calibrate"):
        quantize_model(model, None, settings, out, Silent())
    entries = {
        f"{graph}/{name}.weight": np.full(rows, 2.0, np.float32)
        for graph in ("encoder", "joint")
        for name, rows in (("first", 40), ("second", 24))
    }
    np.savez(tmp_path / "moments.npz", allow_pickle=False, **entries)
    quantize_model(model, tmp_path, settings, out, Silent())
    assert (out / "quantize.json").exists()


def test_a_directory_without_graphs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \.onnx graph"):
        quantize(tmp_path, tmp_path / "out")
