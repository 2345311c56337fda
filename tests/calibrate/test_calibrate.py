from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from numpy.typing import NDArray
from onnx import numpy_helper

from quantkit.calibrate import calibrate
from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.quantize.kquant import KQuantSettings
from quantkit.quantize.model import quantize_model
from quantkit.stream import ChunkWindows, LogMel, Prediction, StreamingSettings, Transcriber
from quantkit.stream.settings import SETTINGS_FILE
from tests.stream.conftest import (
    MELS,
    PIECES,
    streaming_json,
    write_encoder,
    write_joint,
    write_predictor,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("model")
    (directory / SETTINGS_FILE).write_text(json.dumps(streaming_json(right=1, n_mels=MELS)))
    write_encoder(directory / "encoder.onnx", StreamingSettings.load(directory / SETTINGS_FILE))
    write_predictor(directory / "predictor.onnx")
    write_joint(directory / "joint.onnx")
    lines = [f"piece{index} {index}\n" for index in range(PIECES)]
    (directory / "tokens.txt").write_text("".join([*lines, f"<blk> {PIECES}\n"]))
    # Weights beside the graph, as an export has them.
    path = directory / "encoder.onnx"
    onnx.save(
        onnx.load(path), path, save_as_external_data=True, location="e.data", size_threshold=0
    )
    return directory


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("speech")
    lines = []
    for index, seconds in enumerate((1.3, 0.7)):
        samples = np.random.default_rng(index).normal(size=int(16000 * seconds)) * 0.1
        soundfile.write(directory / f"{index}.wav", samples, 16000, subtype="PCM_16")
        lines.append(json.dumps({"audio": f"{index}.wav"}) + "\n")
    (directory / "manifest.jsonl").write_text("".join(lines))
    return directory / "manifest.jsonl"


def statistics(model: Path, manifest: Path, out: Path) -> dict[str, NDArray[np.float32]]:
    out.mkdir(exist_ok=True)
    calibrate(model, manifest, out, Silent())
    with np.load(out / "importance.npz") as archive:
        return dict(archive)


def multiplied(path: Path) -> dict[str, str]:
    """Name of the left input of each MatMul with a constant right one, by the constant's name."""
    graph = onnx.load(path, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    return {
        node.input[1]: node.input[0]
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in constants
    }


def test_every_quantizable_matrix_has_one_number_per_input(
    model: Path, manifest: Path, tmp_path: Path
) -> None:
    found = statistics(model, manifest, tmp_path)
    wanted = {}
    for graph in ("encoder", "predictor", "joint"):
        loaded = onnx.load(model / f"{graph}.onnx")
        arrays = {t.name: numpy_helper.to_array(t) for t in loaded.graph.initializer}
        for name in multiplied(model / f"{graph}.onnx"):
            wanted[f"{graph}/{name}"] = arrays[name].shape[:1]
    assert {name: vector.shape for name, vector in found.items()} == wanted
    assert all(v.dtype == np.float32 and (v >= 0).all() for v in found.values())


def test_the_numbers_are_those_of_the_stream_in_use(
    model: Path, manifest: Path, tmp_path: Path
) -> None:
    found = statistics(model, manifest, tmp_path)
    settings = StreamingSettings.load(model / SETTINGS_FILE)
    windows = []
    for index in range(2):
        samples, _ = soundfile.read(manifest.parent / f"{index}.wav", dtype="float32")
        mel, chunks = LogMel(settings.mel, 16000), ChunkWindows(settings)
        frames = np.concatenate([mel.push(samples), mel.flush()])
        windows += [c.features.reshape(-1, MELS) for c in chunks.push(frames) + chunks.flush()]
    features = np.concatenate(windows).astype(float)
    (name,) = [n for n, left in multiplied(model / "encoder.onnx").items() if left == "features"]
    wanted = (features**2).mean(axis=0)
    np.testing.assert_allclose(found[f"encoder/{name}"], wanted, rtol=1e-5)

    seen: list[NDArray[np.float32]] = []
    transcriber = Transcriber.load(model, threads=1)
    logits = transcriber.transducer.logits

    class Spy:
        blank_id = transcriber.transducer.blank_id
        start = staticmethod(transcriber.transducer.start)
        advance = staticmethod(transcriber.transducer.advance)

        def logits(
            self, encoded: NDArray[np.float32], prediction: Prediction
        ) -> NDArray[np.float32]:
            seen.append(encoded[0])
            return logits(encoded, prediction)

    transcriber.transducer = Spy()  # type: ignore[assignment]
    for index in range(2):
        transcriber.transcribe(manifest.parent / f"{index}.wav")
    (name,) = [n for n, left in multiplied(model / "joint.onnx").items() if left == "encoded"]
    wanted = (np.concatenate(seen).astype(float) ** 2).mean(axis=0)
    np.testing.assert_allclose(found[f"joint/{name}"], wanted, rtol=1e-5)


def test_same_bytes_every_time(model: Path, manifest: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        statistics(model, manifest, tmp_path / name)
    first, second = ((tmp_path / n / "importance.npz").read_bytes() for n in ("a", "b"))
    assert first == second
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["importance.npz"]


def test_quantization_takes_the_numbers(model: Path, manifest: Path, tmp_path: Path) -> None:
    statistics(model, manifest, tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    settings = KQuantSettings(importance="activation", block_size=16)
    quantize_model(model, tmp_path / "importance.npz", settings, out, Silent())
    assert Transcriber.load(out).transcribe(manifest.parent / "0.wav").duration_s == 1.3


def test_recordings_without_a_frame_are_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.jsonl"):
        calibrate(model, tmp_path / "manifest.jsonl", tmp_path, Silent())
