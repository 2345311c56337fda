from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.bench import incumbent
from quantkit.bench.random_model import build_model, save_model
from quantkit.bench.shape import SMALL
from quantkit.core.errors import InputError


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("incumbent") / "small.nemo"
    save_model(build_model(SMALL), path)
    return path


@pytest.mark.parametrize(("chunk_ms", "right", "frames"), [(80, 0, 17), (560, 6, 65)])
def test_sizes_are_read_from_the_checkpoint(
    checkpoint: Path, chunk_ms: int, right: int, frames: int
) -> None:
    request = incumbent._request(checkpoint, chunk_ms)
    assert request["checkpoint"] == str(checkpoint)
    found = {key: request[key] for key in ("left", "right", "frames", "mels", "kernel", "layers")}
    expected = {"left": 70, "right": right, "frames": frames, "mels": 128, "kernel": 9, "layers": 2}
    assert found == expected


def test_other_files_and_chunks_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="80, 160, 560, 1120"):
        incumbent._request(checkpoint, 100)
    with pytest.raises(InputError, match="not a readable"):
        incumbent._request(tmp_path / "absent.nemo", 560)
    foreign = tmp_path / "foreign.nemo"
    for content in (b"encoder: {}", b"encoder: {"):
        with tarfile.open(foreign, "w") as archive:
            member = tarfile.TarInfo("model_config.yaml")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        with pytest.raises(InputError, match="foreign"):
            incumbent._request(foreign, 560)


def model_with_constant(path: Path) -> None:
    """A product whose weight is an initializer, and a sum with a `Constant` node's tensor."""
    weight = np.arange(64 * 32, dtype=np.float32).reshape(64, 32) / 2048
    constant = numpy_helper.from_array(np.ones(512, np.float32).reshape(16, 32), "constant")
    nodes = [
        helper.make_node("Constant", [], ["c"], value=constant),
        helper.make_node("MatMul", ["x", "w"], ["product"], name="product"),
        helper.make_node("Add", ["product", "c"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [16, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [16, 32])],
        [numpy_helper.from_array(weight, "w")],
    )
    path.parent.mkdir(parents=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10),
        path,
        save_as_external_data=True,
        location="weights.data",
        size_threshold=0,
        convert_attribute=True,
    )


@pytest.mark.slow
def test_an_olive_pass_is_run_and_measured_and_its_model_loads(tmp_path: Path) -> None:
    model_with_constant(tmp_path / "before" / incumbent.GRAPH)
    source = {"type": "ONNXModel", "model_path": str(tmp_path / "before" / incumbent.GRAPH)}
    settings = {"type": "OnnxKQuantQuantization", "bits": 4, "block_size": 32, "accuracy_level": 4}
    run = incumbent._run("quantize", settings, source, tmp_path / "after", tmp_path)
    assert run.operators == {"MatMulNBits": 1, "Constant": 1, "Add": 1}
    assert run.seconds > 0
    assert run.rss_bytes > 50e6
    assert run.bytes == incumbent._size(tmp_path / "after")
    session = ort.InferenceSession(str(tmp_path / "after" / incumbent.GRAPH))
    (found,) = session.run(None, {"x": np.zeros((16, 64), np.float32)})
    np.testing.assert_array_equal(found, np.ones((16, 32)))
