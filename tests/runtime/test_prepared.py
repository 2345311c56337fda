"""Prepared files of the demo model in 4 bits and in float32."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.quantize.graphs import quantize_model
from quantkit.quantize.settings import RtnSettings
from quantkit.runtime import prepared
from quantkit.runtime.prepared import FOLDER, open_prepared
from quantkit.runtime.sessions import PROVIDERS, open_session
from quantkit.runtime.transcriber import Transcriber
from tests.runtime.conftest import FLOAT, Graph

pytestmark = pytest.mark.slow

GRAPHS = ("encoder", "predictor", "joint")
PATIENCE_S = 120.0

#: What another process does: prepare a graph, and say which outputs it then has.
OTHER = """
import sys
from pathlib import Path
from quantkit.runtime import prepared
from tests.runtime.test_prepared import outputs
{before}
print(repr(outputs(prepared.open_prepared(Path(sys.argv[1]), 1))[0].tobytes()))
"""


@pytest.fixture(scope="module")
def quantized(demo_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("int4")
    quantize_model(demo_artifact, None, RtnSettings(), out, Silent())
    return out


@pytest.fixture
def artifact(quantized: Path, tmp_path: Path) -> Path:
    """A copy that was never loaded."""
    return shutil.copytree(quantized, tmp_path / "artifact")


def outputs(session: ort.InferenceSession) -> list[NDArray[Any]]:
    """What a session makes of noise; open sizes are 3, and the encoder's cache is full."""
    chance = np.random.default_rng(20261125)
    feeds: dict[str, NDArray[Any]] = {}
    for node in session.get_inputs():
        shape = [size if isinstance(size, int) else 3 for size in node.shape]
        noise = chance.normal(size=shape).astype(np.float32)
        feeds[node.name] = noise if node.type == "tensor(float)" else np.full(shape, 60)
    found: list[NDArray[Any]] = session.run(None, feeds)
    return found


def assert_equal(a: list[NDArray[Any]], b: list[NDArray[Any]]) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def kept(graph: Path) -> set[str]:
    """Names of what is kept of a graph."""
    return {path.name for path in (graph.parent / FOLDER).glob(f"{graph.stem}*")}


def start(graph: Path, before: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OTHER.format(before=before), str(graph)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("model", ["demo_artifact", "quantized"])
def test_results_are_those_of_the_graph_itself(
    model: str, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source = request.getfixturevalue(model)
    for file in source.glob(f"{name}.onnx*"):
        shutil.copy(file, tmp_path)
    graph = tmp_path / f"{name}.onnx"
    expected = outputs(open_session(graph, 1))
    assert_equal(outputs(open_prepared(graph, 1)), expected)
    first = kept(graph)
    assert_equal(outputs(open_prepared(graph, 1)), expected)
    assert kept(graph) == first
    assert len(first) == 3  # record, graph and data


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process's map of memory")
def test_packed_weights_are_mapped_from_the_disk(artifact: Path) -> None:
    transcriber = Transcriber.load(artifact, 1, prepare=True)
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    for name in GRAPHS:
        mapped = [line.split()[0] for line in maps if f"{artifact / FOLDER / name}-" in line]
        ends = [[int(address, 16) for address in line.split("-")] for line in mapped]
        # The graph's own weights are let go once they are packed: these are the packed ones.
        size = (artifact / f"{name}.onnx.data").stat().st_size
        assert sum(end - begin for begin, end in ends) > size
    del transcriber  # had to live until here


def test_an_artifact_is_left_as_it_is_unless_asked(artifact: Path) -> None:
    before = sorted(artifact.rglob("*"))
    Transcriber.load(artifact, 1)
    assert sorted(artifact.rglob("*")) == before


def test_a_moved_artifact_keeps_its_files(artifact: Path, tmp_path: Path) -> None:
    open_prepared(artifact / "joint.onnx", 1)
    moved = artifact.rename(tmp_path / "moved")
    first = kept(moved / "joint.onnx")
    open_prepared(moved / "joint.onnx", 1)
    assert kept(moved / "joint.onnx") == first


def test_other_weights_of_the_same_size_and_age_are_noticed(artifact: Path) -> None:
    graph, data = artifact / "joint.onnx", artifact / "joint.onnx.data"
    before = outputs(open_prepared(graph, 1))
    first, status = kept(graph), data.stat()
    data.write_bytes(data.read_bytes()[::-1])
    os.utime(data, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = outputs(open_prepared(graph, 1))
    assert_equal(after, outputs(open_session(graph, 1)))
    assert not np.array_equal(after[0], before[0])
    assert kept(graph) & first == {"joint.json"}
    assert len(kept(graph)) == 3


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (ort, "__version__", "0.0"),
        (prepared, "_processor", lambda: ["flags : none"]),
        (prepared, "DISABLED_OPTIMIZERS", "none"),
    ],
    ids=["runtime", "processor", "optimizers"],
)
def test_files_made_under_other_conditions_are_replaced(
    artifact: Path, owner: object, name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = artifact / "joint.onnx"
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(owner, name, value)
        open_prepared(graph, 1)
    first = kept(graph)
    assert_equal(outputs(open_prepared(graph, 1)), outputs(open_session(graph, 1)))
    assert kept(graph) & first == {"joint.json"}


def invert(path: Path) -> None:
    """Other bytes, with the size and the time of change that the file had."""
    status = path.stat()
    path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    "damage",
    [
        invert,
        Path.unlink,
        lambda path: path.write_bytes(path.read_bytes()[:-2]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text('{"prepared": "encoder.onnx"}'),
        lambda path: path.write_text("[]"),
    ],
    ids=["inverted", "absent", "shorter", "empty", "other", "list"],
)
@pytest.mark.parametrize("which", ["joint.json", "joint-*.onnx", "joint-*.onnx.data"])
def test_damaged_files_are_replaced(
    artifact: Path, which: str, damage: Callable[[Path], object]
) -> None:
    graph = artifact / "joint.onnx"
    expected = outputs(open_prepared(graph, 1))
    first = kept(graph)
    (path,) = (artifact / FOLDER).glob(which)
    damage(path)
    assert_equal(outputs(open_prepared(graph, 1)), expected)
    assert kept(graph) & first == {"joint.json"}
    assert len(kept(graph)) == 3


@pytest.mark.parametrize("which", ["joint-*.onnx", "joint-*.onnx.data"])
def test_damage_without_another_time_is_found_by_a_check(artifact: Path, which: str) -> None:
    graph = artifact / "joint.onnx"
    expected = outputs(open_prepared(graph, 1))
    first = kept(graph)
    (path,) = (artifact / FOLDER).glob(which)
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    record = artifact / FOLDER / "joint.json"
    said = json.loads(record.read_text())
    said["files"][path.name] = prepared._stamp(path)  # as if a disk had lost a bit
    record.write_text(json.dumps(said))
    assert prepared._find(graph) is not None
    assert_equal(outputs(open_prepared(graph, 1, check=True)), expected)
    assert kept(graph) & first == {"joint.json"}
    assert len(kept(graph)) == 3


def test_files_that_cannot_be_loaded_are_done_without(artifact: Path) -> None:
    graph = artifact / "joint.onnx"
    expected = outputs(open_prepared(graph, 1))
    (path,) = (artifact / FOLDER).glob("joint-*.onnx")
    path.write_bytes(b"no graph")
    record = artifact / FOLDER / "joint.json"
    content = json.loads(record.read_text())
    content["files"][path.name] = prepared._stamp(path)
    record.write_text(json.dumps(content))
    assert_equal(outputs(open_prepared(graph, 1)), expected)


def test_a_folder_that_cannot_be_written_costs_only_time(artifact: Path) -> None:
    (artifact / FOLDER).write_text("in the way")
    graph = artifact / "joint.onnx"
    assert_equal(outputs(open_prepared(graph, 1)), outputs(open_session(graph, 1)))
    assert (artifact / FOLDER).read_text() == "in the way"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_artifact_that_may_not_be_written_costs_only_time(artifact: Path) -> None:
    artifact.chmod(0o555)
    graph = artifact / "joint.onnx"
    assert_equal(outputs(open_prepared(graph, 1)), outputs(open_session(graph, 1)))
    assert not (artifact / FOLDER).exists()


def test_a_full_disk_costs_only_time_and_leaves_nothing(artifact: Path) -> None:
    graph = artifact / "joint.onnx"
    assert (artifact / "joint.onnx.data").stat().st_size > 100_000
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    with start(graph, limit) as process:
        output = process.communicate(timeout=PATIENCE_S)[0]
    assert output.strip() == repr(outputs(open_session(graph, 1))[0].tobytes())
    assert not kept(graph)


def test_a_killed_process_leaves_nothing_that_counts(artifact: Path) -> None:
    graph = artifact / "joint.onnx"
    kill = "import os; prepared.write_json = lambda *_: os.kill(os.getpid(), 9)"
    with start(graph, kill) as process:
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGKILL
    left = kept(graph)
    assert len(left) == 2  # without a record
    assert_equal(outputs(open_prepared(graph, 1)), outputs(open_session(graph, 1)))
    assert not kept(graph) & left


def test_processes_at_once_do_not_meet(artifact: Path) -> None:
    graph = artifact / "encoder.onnx"
    processes = [start(graph) for _ in range(4)]
    found = {process.communicate(timeout=PATIENCE_S)[0].strip() for process in processes}
    assert found == {repr(outputs(open_session(graph, 1))[0].tobytes())}
    first = kept(graph)
    open_prepared(graph, 1)
    assert kept(graph) == first
    assert len(first) == 3


def test_a_graph_that_cannot_be_loaded_is_named(artifact: Path) -> None:
    (artifact / "joint.onnx").write_bytes(b"no graph")
    with pytest.raises(InputError, match=r"joint\.onnx: ONNX Runtime .* cannot load it"):
        open_prepared(artifact / "joint.onnx", 1)
    assert not kept(artifact / "joint.onnx")


def test_residual_and_norm_are_not_fused(tmp_path: Path) -> None:
    graph = Graph(1)
    joined = graph.add("Add", "a", "b")
    parameters = graph.constant(np.ones(8, np.float32)), graph.constant(np.zeros(8, np.float32))
    graph.add("LayerNormalization", joined, *parameters, out="normed")
    ports = {name: (FLOAT, [1, 3, 8]) for name in ("a", "b")}
    graph.save(tmp_path / "joint.onnx", ports, {"normed": (FLOAT, [1, 3, 8])})
    # ONNX Runtime would: otherwise the option could go.
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    ort.InferenceSession(str(tmp_path / "joint.onnx"), options, PROVIDERS)
    assert kinds(tmp_path / "fused.onnx") == ["SkipLayerNormalization"]
    open_prepared(tmp_path / "joint.onnx", 1)
    (path,) = (tmp_path / FOLDER).glob("joint-*.onnx")
    assert kinds(path) == ["Add", "LayerNormalization"]


def kinds(path: Path) -> list[str]:
    nodes = onnx.load(path, load_external_data=False).graph.node
    return [node.op_type for node in nodes]
