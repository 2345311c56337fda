from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from quantkit.bench.candidate import find_candidates
from quantkit.bench.step import TimedStep
from quantkit.bench.steps import bench
from quantkit.bench.worker import Worker
from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.runtime.transcriber import Transcriber
from tests.bench.graphs import FRAMES, STEPS, WIDTH, write_encoder

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("named", [True, False])
def test_caches_feed_the_next_step(tmp_path: Path, named: bool) -> None:
    graph = write_encoder(tmp_path / "encoder.onnx", named=named)
    step = TimedStep(ort.InferenceSession(str(graph)), graph)
    total, last = np.zeros((1, STEPS, WIDTH), np.float32), step.ports.outputs[3].name
    for turn in range(1, 6):
        assert step.run() > 0
        total += step._steps.inputs["features"][:, :STEPS, :WIDTH]
        found = step.outputs()
        np.testing.assert_allclose(found["encoded"], total, rtol=1e-6)
        assert found[last] == turn * FRAMES


def test_an_artifacts_encoder_is_stepped_as_its_runtime_does(demo_artifact: Path) -> None:
    session = Transcriber.load(demo_artifact, 1).encoder
    step = TimedStep(session, demo_artifact / "encoder.onnx")
    feeds = {name: array.copy() for name, array in step._steps.inputs.items()}
    names = [node.name for node in session.get_outputs()]
    for _ in range(4):
        step.run()
        feeds["features"] = step._steps.inputs["features"]
        expected = dict(zip(names, session.run(names, feeds), strict=True))
        found = step.outputs()
        assert found.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)
        feeds |= {before: expected[after] for before, after in step.ports.states.items()}


def test_a_report_has_what_scripts_read(
    tmp_path: Path, demo_artifact: Path, parity_manifest: Path
) -> None:
    other = write_encoder(tmp_path / "other" / "encoder.onnx").parent
    audio = parity_manifest.parent / "agent-pass.flac"
    report = bench([demo_artifact, other], [1, 2], 3, [audio], Silent())
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["machine"]["cores"] >= 1
    rows = report["candidates"]
    names = [demo_artifact.name, "other"]
    assert [(r["name"], r["threads"]) for r in rows] == [(n, t) for t in (1, 2) for n in names]
    for row in rows:
        assert 0 < row["step_ms"]["p50"] <= row["step_ms"]["p95"] <= row["step_ms"]["p99"]
        speed = 1000 * row["chunk_s"] / row["step_ms"]["p50"]
        assert row["rtfx_encoder"] == pytest.approx(speed)
        assert row["rss_peak_bytes"] >= row["rss_bytes"] > row["uss_bytes"] > 0
        assert row["rss_bytes"] > row["rss_base_bytes"] > 0
        assert row["load_s"] > 0
        assert sum(op["share"] for op in row["profile"]) == pytest.approx(1)
    for peaks, row in zip(report["peaks"], rows[::2], strict=True):
        assert peaks["threads"] == row["threads"]
        cost, step_s = row["cost"], row["step_ms"]["p50"] / 1000
        rate = cost["multiply_adds_per_step"] / step_s
        assert cost["integer_share"] == pytest.approx(rate / peaks["integer_multiply_adds_per_s"])
        rate = cost["bytes_per_step"] / step_s
        assert cost["bandwidth_share"] == pytest.approx(rate / peaks["read_bytes_per_s"])
    ours, theirs = rows[:2]
    assert theirs["cost"]["multiply_adds_per_step"] == 0
    assert ours["chunk_s"] == pytest.approx(0.56)
    assert theirs["chunk_s"] == pytest.approx(0.16)
    assert ours["bytes"] > ours["encoder_bytes"] > theirs["bytes"]
    assert 0 < ours["rtfx"] < ours["rtfx_encoder"] * 2
    assert ours["tokens_per_s"] > 0
    assert theirs["rtfx"] is None
    for pair, threads in zip(report["pairs"], (1, 2), strict=True):
        assert (pair["a"], pair["b"], pair["threads"]) == (*names, threads)
        assert 0 < pair["ratio_low"] <= pair["ratio_median"] <= pair["ratio_high"]


def test_a_checkpoint_is_streamed_by_nemo(demo_checkpoint: Path, parity_manifest: Path) -> None:
    from quantkit.nemo.loading.checkpoint import load_checkpoint
    from quantkit.nemo.reference.streaming import NemoStreamer
    from quantkit.runtime.audio import read_audio

    audio = parity_manifest.parent / "agent-pass.flac"
    (candidate,) = find_candidates([demo_checkpoint])
    with Worker(candidate, 1, 160) as worker:
        assert worker.loaded().chunk_s == pytest.approx(0.16)
        assert worker.step() > 0
        heard = worker.transcribe(audio)
        assert worker.profile() is None
    expected = NemoStreamer(load_checkpoint(demo_checkpoint), 70, 1).run(read_audio(audio, 16000))
    assert heard.text == expected.text
    assert [(token.id, token.frame) for token in heard.tokens] == list(
        zip(expected.tokens, expected.token_frames, strict=True)
    )
    assert heard.tokens[-1].time_s == pytest.approx(0.08 * expected.token_frames[-1])


def test_a_chunk_that_a_checkpoint_does_not_know_is_refused(demo_checkpoint: Path) -> None:
    with pytest.raises(InputError, match=r"demo\.nemo: --chunk-ms .* 80, 160, 560, 1120"):
        bench([demo_checkpoint], [1], 1, [], Silent(), 100)


def test_what_is_wrong_in_a_candidates_process_is_said_in_this_one(tmp_path: Path) -> None:
    path = tmp_path / "encoder.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(InputError, match=str(path)):
        bench([path], [1], 1, [], Silent())


def test_missing_audio_is_named(demo_artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.wav"):
        bench([demo_artifact], [1], 1, [tmp_path / "absent.wav"], Silent())


@pytest.mark.parametrize(
    ("threads", "rounds"), [([0], 5), ([1], 0), ([1, 1099511627776], 5), ([1], 10**9)]
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, threads: list[int], rounds: int) -> None:
    with pytest.raises(InputError, match="accepted: 1 to 1000000 rounds, 1 to 1024 threads"):
        bench([write_encoder(tmp_path / "encoder.onnx")], threads, rounds, [], Silent())


def test_no_candidate_is_refused() -> None:
    with pytest.raises(InputError, match="no candidate"):
        bench([], [1], 1, [], Silent())


def test_a_worker_leaves_nothing_behind(tmp_path: Path) -> None:
    (candidate,) = find_candidates([write_encoder(tmp_path / "encoder.onnx")])
    with Worker(candidate, 1, 560) as worker:
        worker.loaded()
        worker.step()
        assert worker.memory().uss_bytes > 0
    assert worker._process.exitcode == 0
