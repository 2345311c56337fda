from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.core.errors import InputError
from quantkit.graph.constants import read_constant
from quantkit.graph.files import load_model, move_model, save_model
from tests.quantize.graphs import matrix, run, save_graph

WEIGHT = matrix(64, 48)


def external(path: Path, location: str = "w.bin", **more: int | str) -> Path:
    """A product whose weight [64, 48] is in a file of its own."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[64, 48])
    tensor.data_location = TensorProto.EXTERNAL
    for key, given in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=str(given))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [value("x", TensorProto.FLOAT, ["n", 64])],
        [value("y", TensorProto.FLOAT, ["n", 48])],
        [tensor],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def data(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(WEIGHT.tobytes())
    return path


def weight_of(path: Path) -> np.ndarray:
    tensor = load_model(path).graph.initializers["w"].const_value
    assert tensor is not None
    return read_constant(tensor)


def cached(folder: Path) -> Path:
    """As a hub's cache keeps a model: a folder of links to files named after their digest."""
    external(folder / "blobs" / "1")
    data(folder / "blobs" / "2")
    snapshot = folder / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "m.onnx").symlink_to("../../blobs/1")
    (snapshot / "w.bin").symlink_to("../../blobs/2")
    return snapshot / "m.onnx"


def linked(folder: Path) -> Path:
    os.link(data(folder / "w.bin"), folder / "again.bin")
    return external(folder / "m.onnx")


def below(folder: Path) -> Path:
    data(folder / "deep" / "w.bin")
    return external(folder / "m.onnx", "deep/../deep/w.bin")


@pytest.mark.parametrize("layout", [cached, linked, below])
def test_data_are_found_where_onnx_runtime_finds_them(tmp_path: Path, layout: object) -> None:
    path = layout(tmp_path)  # type: ignore[operator]
    np.testing.assert_allclose(run(path, x=np.eye(64, dtype=np.float32))[0], WEIGHT, rtol=1e-6)
    np.testing.assert_array_equal(weight_of(path), WEIGHT)
    model = load_model(path)
    save_model(model, tmp_path / "copy" / "m.onnx")
    shutil.rmtree(path.parent / "deep", ignore_errors=True)
    np.testing.assert_array_equal(weight_of(tmp_path / "copy" / "m.onnx"), WEIGHT)


def test_data_outside_of_the_folder_are_refused(tmp_path: Path) -> None:
    data(tmp_path / "w.bin")
    for location in ("../w.bin", str(tmp_path / "w.bin"), "a/../../w.bin"):
        path = external(tmp_path / "in" / "m.onnx", location)
        with pytest.raises(InputError, match="outside of the model's folder"):
            load_model(path)
    path = external(tmp_path / "in" / "m.onnx")
    (tmp_path / "in" / "w.bin").symlink_to("../w.bin")
    with pytest.raises(InputError, match=r"a link to .*outside of the folders"):
        load_model(path)


def test_data_cut_short_are_refused_with_both_sizes(tmp_path: Path) -> None:
    path = external(tmp_path / "m.onnx", offset=4096)
    data(tmp_path / "w.bin")
    with pytest.raises(
        InputError, match=r"'w' \[64, 48\] need 16384 bytes of w\.bin .*which has 12288"
    ):
        load_model(path)
    for more, words in (
        ({"length": 99}, "take 12288 bytes; found offset 0 and length 99"),
        ({"offset": -4}, "cannot be read|found offset -4"),
        ({"offset": "9" * 30}, "need 10{20}"),
        ({"offset": "abc"}, "cannot be read"),
    ):
        path = external(tmp_path / "m.onnx", **more)
        with pytest.raises(InputError, match=words):
            load_model(path)
    (tmp_path / "w.bin").unlink()
    (tmp_path / "w.bin").mkdir()
    with pytest.raises(InputError, match="does not exist or is no file"):
        load_model(external(tmp_path / "m.onnx"))


def broken(change: str) -> onnx.ModelProto:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])
    tensor = numpy_helper.from_array(matrix(8, 8), "w")
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    model = helper.make_model(helper.make_graph([node], "g", [value], [out], [tensor]))
    graph = model.graph
    match change:
        case "sparse":
            graph.sparse_initializer.add(values=tensor, dims=[8, 8])
        case "sparse constant":
            sparse = helper.make_sparse_tensor(tensor, tensor, [8, 8])
            graph.node.append(helper.make_node("Constant", [], ["s"], "one", sparse_value=sparse))
        case "inputs":
            graph.node.append(helper.make_node("Transpose", [], ["t"], "turn"))
        case "outputs":
            graph.node.append(helper.make_node("Transpose", ["x"], [], "turn"))
        case "twice":
            graph.initializer.append(tensor)
        case "short":
            graph.initializer[0].raw_data = tensor.raw_data[:-1]
        case "huge":
            graph.initializer[0].dims[:] = [2**40, 2**40]
        case "negative":
            graph.initializer[0].dims[:] = [-8, -8]
        case "type":
            graph.initializer[0].data_type = 99
    return model


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("sparse", "tensor 'w' is a sparse initializer"),
        ("sparse constant", r"node 'one' \(Constant\) holds a sparse tensor"),
        ("inputs", r"node 'turn' \(Transpose\) has 0 inputs, needs 1"),
        ("outputs", r"node 'turn' \(Transpose\) has 0 outputs, needs 1"),
        ("twice", "where 'w' stands"),
        ("short", "needs 256 bytes, has 255"),
        ("huge", "needs 4835703278458516698824704 bytes, has 256"),
        ("negative", "negative size"),
        ("type", "type 99"),
    ],
)
def test_tensors_that_are_not_what_they_say_are_refused(
    tmp_path: Path, change: str, words: str
) -> None:
    (tmp_path / "m.onnx").write_bytes(broken(change).SerializeToString())
    with pytest.raises(InputError, match=words):
        load_model(tmp_path / "m.onnx")


def test_a_graph_never_lies_beside_the_data_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [external(tmp_path / name / "m.onnx", "m.onnx.data") for name in ("old", "new")]
    for path in paths:
        data(path.with_name("m.onnx.data"))
    replace = Path.replace

    def cut_off(self: Path, target: Path) -> Path:
        if self.suffix == ".onnx":
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", cut_off)
    with pytest.raises(KeyboardInterrupt):
        move_model(paths[1], paths[0])
    assert not paths[0].exists()
    monkeypatch.undo()
    data(paths[1].with_name("m.onnx.data"))
    move_model(paths[1], paths[0])
    np.testing.assert_array_equal(weight_of(paths[0]), WEIGHT)


def test_a_full_disk_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_graph(
        tmp_path / "m.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"x": ["n", 64]},
        ["y"],
        {"w": WEIGHT},
    )
    model = load_model(path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5000))
    with pytest.raises(InputError, match=r"out\.onnx need 12\.3 kB of disk, 5\.0 kB are free"):
        save_model(model, tmp_path / "out.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]
