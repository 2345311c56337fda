from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import numpy as np
import onnx
import pytest
import soundfile
from numpy.typing import NDArray
from onnx import numpy_helper

from quantkit.calibrate.statistics import REPORT, calibrate
from quantkit.core.errors import InputError
from quantkit.core.files import sha256_file
from quantkit.core.progress import Progress, Silent
from quantkit.quantize.graphs import quantize_model
from quantkit.quantize.moments import load_moments
from quantkit.quantize.settings import KQuantSettings
from quantkit.runtime.decoders.transducer import Prediction
from quantkit.runtime.encoders.chunks import ChunkWindows
from quantkit.runtime.mel import LogMel
from quantkit.runtime.settings import SETTINGS_FILE, StreamingSettings
from quantkit.runtime.transcriber import Transcriber
from quantkit.speech.manifest import read_manifest
from tests.conftest import Stage
from tests.runtime.conftest import (
    MELS,
    PIECES,
    streaming_json,
    write_encoder,
    write_joint,
    write_predictor,
)

T = TypeVar("T")


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
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("speech")
    paths = []
    for index, seconds in enumerate((1.3, 0.7, 2.2)):
        samples = np.random.default_rng(index).normal(size=int(16000 * seconds)) * 0.1
        paths.append(directory / f"{index}.wav")
        soundfile.write(paths[-1], samples, 16000, subtype="PCM_16")
    return paths


def calibrated(
    model: Path,
    recordings: list[Path],
    folder: Path,
    *,
    hessians: bool = False,
    progress: Progress | None = None,
) -> Path:
    """The statistics; a second call with the same folder goes on where the first was stopped."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    for path in (out, folder / "scratch"):
        path.mkdir(parents=True, exist_ok=True)
    calibrate(model, recordings, out, folder / "scratch", progress or Silent(), hessians=hessians)
    return out


def content(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): sha256_file(path) for path in files}


def multiplied(path: Path) -> dict[str, str]:
    """Name of the left input of each MatMul with a constant right one, by the constant's name."""
    graph = onnx.load(path, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    return {
        node.input[1]: node.input[0]
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in constants
    }


def features_of(model: Path, recordings: list[Path]) -> NDArray[np.float64]:
    """Rows of the windows that the encoder sees, float64 [R, MELS]."""
    settings = StreamingSettings.load(model / SETTINGS_FILE)
    windows = []
    for path in recordings:
        samples, _ = soundfile.read(path, dtype="float32")
        mel, chunks = LogMel(settings.mel, 16000), ChunkWindows(settings)
        frames = np.concatenate([mel.push(samples), mel.flush()])
        windows += [c.features.reshape(-1, MELS) for c in chunks.push(frames) + chunks.flush()]
    return np.concatenate(windows).astype(float)


def test_every_quantizable_matrix_has_one_number_per_input(
    model: Path, recordings: list[Path], tmp_path: Path
) -> None:
    with np.load(calibrated(model, recordings, tmp_path) / "moments.npz") as archive:
        found = dict(archive)
    wanted = {}
    for graph in ("encoder", "predictor", "joint"):
        loaded = onnx.load(model / f"{graph}.onnx")
        arrays = {t.name: numpy_helper.to_array(t) for t in loaded.graph.initializer}
        for name in multiplied(model / f"{graph}.onnx"):
            wanted[f"{graph}/{name}"] = arrays[name].shape[:1]
    assert {name: vector.shape for name, vector in found.items()} == wanted
    assert all(v.dtype == np.float32 and (v >= 0).all() for v in found.values())


def test_the_numbers_are_those_of_the_stream_in_use(
    model: Path, recordings: list[Path], tmp_path: Path
) -> None:
    found = load_moments(calibrated(model, recordings, tmp_path, hessians=True))
    features = features_of(model, recordings)
    (name,) = [n for n, left in multiplied(model / "encoder.onnx").items() if left == "features"]
    moments = found[f"encoder/{name}"]
    np.testing.assert_allclose(moments.diagonal, (features**2).mean(axis=0), rtol=1e-5)
    assert moments.hessian is not None
    products = features.T @ features / len(features)
    np.testing.assert_allclose(moments.hessian, products, rtol=1e-4, atol=1e-5 * products.max())

    seen: list[NDArray[np.float32]] = []
    transcriber = Transcriber.load(model, threads=1)
    logits = transcriber.transducer.logits

    class Spy:
        blank_id = transcriber.transducer.blank_id
        start = staticmethod(transcriber.transducer.start)
        advance = staticmethod(transcriber.transducer.advance)

        def logits(
            self, encoded: NDArray[np.float32], predictions: Sequence[Prediction]
        ) -> NDArray[np.float32]:
            seen.append(encoded[0])
            return logits(encoded, predictions)

    transcriber.transducer = Spy()  # type: ignore[assignment]
    for path in recordings:
        transcriber.transcribe(path)
    (name,) = [n for n, left in multiplied(model / "joint.onnx").items() if left == "encoded"]
    wanted = (np.concatenate(seen).astype(float) ** 2).mean(axis=0)
    np.testing.assert_allclose(found[f"joint/{name}"].diagonal, wanted, rtol=1e-5)


def test_the_report_counts_what_was_heard(
    model: Path, recordings: list[Path], tmp_path: Path
) -> None:
    report = json.loads((calibrated(model, recordings, tmp_path) / REPORT).read_text())
    assert report["recordings"] == 3
    assert report["seconds"] == pytest.approx(4.2, abs=3 * 0.08)
    for graph, facts in report["graphs"].items():
        inputs = multiplied(model / f"{graph}.onnx")
        assert facts["matrices"] == len(inputs)
        assert facts["inputs"] == len(set(inputs.values()))
    assert report["graphs"]["encoder"]["rows"] <= len(features_of(model, recordings))


def test_hessians_do_not_change_the_mean_squares(
    model: Path, recordings: list[Path], tmp_path: Path
) -> None:
    with_them = calibrated(model, recordings, tmp_path / "a", hessians=True)
    without = calibrated(model, recordings, tmp_path / "b")
    assert (with_them / "moments.npz").read_bytes() == (without / "moments.npz").read_bytes()
    assert content(without).keys() == {"moments.npz", REPORT}
    listed = json.loads((with_them / "hessians.json").read_text())
    assert set(listed.values()) == {name for name in content(with_them) if "/" in name}


def test_same_bytes_every_time(model: Path, recordings: list[Path], tmp_path: Path) -> None:
    first, second = (
        content(calibrated(model, recordings, tmp_path / name, hessians=True)) for name in "ab"
    )
    assert first == second


class StopsBefore(Silent):
    """Interrupts a loop before one of its items."""

    def __init__(self, item: int) -> None:
        self._item = item

    def track(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:
        for number, item in enumerate(super().track(items, total, what)):
            if number == self._item:
                raise KeyboardInterrupt
            yield item


class Counts(Silent):
    """Remembers how long the loops were."""

    def __init__(self) -> None:
        self.totals: list[int] = []

    def track(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:
        self.totals.append(total)
        return super().track(items, total, what)


@pytest.mark.parametrize("hessians", [False, True])
def test_an_interrupted_calibration_goes_on_and_gives_the_same_bytes(
    model: Path,
    recordings: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hessians: bool,
) -> None:
    monkeypatch.setattr("quantkit.calibrate.statistics.SAVE_EVERY_S", 0.1)
    undisturbed = content(calibrated(model, recordings, tmp_path / "whole", hessians=hessians))
    for stop in (1, 1):
        with pytest.raises(KeyboardInterrupt):
            calibrated(model, recordings, tmp_path, hessians=hessians, progress=StopsBefore(stop))
    counts = Counts()
    out = calibrated(model, recordings, tmp_path, hessians=hessians, progress=counts)
    assert counts.totals == [1], "two recordings had been saved"
    assert content(out) == undisturbed


def test_what_was_added_after_the_last_save_is_forgotten(
    model: Path, recordings: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interruption inside a recording, whose first rows are in the sums on disk already."""
    monkeypatch.setattr("quantkit.calibrate.statistics.SAVE_EVERY_S", 1.0)
    monkeypatch.setattr("quantkit.calibrate.statistics.WAITING_BYTES", 0)
    undisturbed = content(calibrated(model, recordings, tmp_path / "whole", hessians=True))
    samples, rate = soundfile.read(recordings[2])
    spoiled = tmp_path / "2.flac"
    soundfile.write(spoiled, samples, rate)
    spoiled.write_bytes(spoiled.read_bytes()[: spoiled.stat().st_size * 9 // 10])
    with pytest.raises(InputError, match=r"2\.flac: is damaged or truncated: sample [1-9]"):
        calibrated(model, [*recordings[:2], spoiled], tmp_path, hessians=True)
    assert content(calibrated(model, recordings, tmp_path, hessians=True)) == undisturbed


def test_quantization_takes_the_numbers(
    model: Path, recordings: list[Path], tmp_path: Path
) -> None:
    statistics = calibrated(model, recordings, tmp_path)
    out = tmp_path / "quantized"
    out.mkdir()
    settings = KQuantSettings(importance="activation", block_size=16)
    quantize_model(model, statistics, settings, out, Silent())
    assert Transcriber.load(out).transcribe(recordings[0]).duration_s == 1.3


def test_recordings_without_a_frame_are_refused(model: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "click.wav", np.zeros(1), 48000)
    with pytest.raises(InputError, match=r"click\.wav: found no recording, among 1, that is long"):
        calibrated(model, [tmp_path / "click.wav"], tmp_path)


def test_hessians_that_the_disk_cannot_hold_are_refused_first(
    model: Path, recordings: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = SimpleNamespace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    with pytest.raises(InputError, match=r"the Hessians need .* of disk, 1\.0 kB are free"):
        calibrated(model, recordings, tmp_path, hessians=True)
    calibrated(model, recordings, tmp_path)


@pytest.mark.slow
def test_the_demo_model(fused: Stage, parity_manifest: Path, tmp_path: Path) -> None:
    model = fused(560)
    recordings = [utterance.audio for utterance in read_manifest(parity_manifest)[:2]]
    found = load_moments(calibrated(model, recordings, tmp_path, hessians=True))
    assert len(found) == 8 * 8 + 6, "all matrices but the embedding"
    for name, moments in found.items():
        assert moments.hessian is not None
        hessian = np.asarray(moments.hessian, float)
        np.testing.assert_array_equal(hessian, hessian.T, err_msg=name)
        np.testing.assert_allclose(np.diag(hessian), moments.diagonal, rtol=1e-4, err_msg=name)
        directions = np.random.default_rng(0).normal(size=(8, len(hessian)))
        assert (((directions @ hessian) * directions).sum(axis=1) >= 0).all(), name
