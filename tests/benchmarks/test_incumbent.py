from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks import incumbent
from quantkit.bench.candidate import find_candidates
from quantkit.bench.exported import ExportedRecognizer
from quantkit.core.errors import InputError
from quantkit.nemo.loading.checkpoint import load_checkpoint
from quantkit.runtime.audio import read_audio
from tests.models.shape import SMALL_CHECKPOINT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkpoint() -> Path:
    return SMALL_CHECKPOINT


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


def test_an_olive_pass_is_run_and_measured_and_its_model_loads(tmp_path: Path) -> None:
    before, after = (tmp_path / name / "encoder.onnx" for name in ("before", "after"))
    model_with_constant(before)
    source = {"type": "ONNXModel", "model_path": str(before)}
    settings = {"type": "OnnxKQuantQuantization", "bits": 4, "block_size": 32, "accuracy_level": 4}
    run = incumbent._run("quantize", settings, source, after, tmp_path)
    assert run.operators == {"MatMulNBits": 1, "Constant": 1, "Add": 1}
    assert run.seconds > 0
    assert run.rss_bytes > 50e6
    files = list(after.parent.iterdir())
    assert all(file.name.startswith("encoder.") for file in files)
    assert run.bytes == sum(file.stat().st_size for file in files)
    session = ort.InferenceSession(str(after))
    (found,) = session.run(None, {"x": np.zeros((16, 64), np.float32)})
    np.testing.assert_array_equal(found, np.ones((16, 32)))


def test_every_incumbent_is_a_recognizer_with_its_own_weights(incumbents: Path) -> None:
    report = json.loads((incumbents / "incumbent.json").read_text())
    found = find_candidates([incumbents / name for name in ("fp32", "kquant", "int8")])
    assert [candidate.kind for candidate in found] == ["exported"] * 3
    for candidate in found:
        assert candidate.bytes == report["candidates"][candidate.name]
        assert candidate.encoder_bytes is not None
        assert 0 < candidate.encoder_bytes < candidate.bytes
    networks = {
        (name, network): [
            n.op_type for n in onnx.load(incumbents / name / f"{network}.onnx").graph.node
        ]
        for name in ("fp32", "kquant", "int8")
        for network in ("encoder", "decoder", "joiner")
    }
    assert "MatMulNBits" in networks["kquant", "encoder"]
    for network in ("decoder", "joiner"):
        assert networks["kquant", network] == networks["fp32", network]
    assert {"ConvInteger", "MatMulInteger"} <= set(networks["int8", "encoder"])
    assert "DynamicQuantizeLSTM" in networks["int8", "decoder"]
    assert "MatMulInteger" in networks["int8", "joiner"]


def test_the_float_incumbent_says_what_nemo_says_of_the_same_windows(
    incumbents: Path, demo_checkpoint: Path, parity_manifest: Path
) -> None:
    """Zeros before the first chunk, two frames always dropped: NeMo's `pad_and_drop`."""
    audio = parity_manifest.parent / "tt-weasels.flac"
    samples = read_audio(audio, 16000)
    heard = ExportedRecognizer(incumbents / "fp32", 1).transcribe(audio)
    assert heard.duration_s == pytest.approx(len(samples) / 16000)
    full = len(samples) // (56 * 160) * 7  # frames of chunks that hold nothing but speech
    found = [(token.id, token.frame) for token in heard.tokens if token.frame < full]
    expected = pad_and_drop(demo_checkpoint, samples)
    assert len(found) > 5
    assert found == [(token, frame) for token, frame in expected if frame < full]


def pad_and_drop(checkpoint: Path, samples: np.ndarray) -> list[tuple[int, int]]:
    import torch
    from nemo.collections.asr.parts.utils.streaming_utils import CacheAwareStreamingAudioBuffer

    model = load_checkpoint(checkpoint)
    encoder = model.encoder
    encoder.set_default_att_context_size([70, 6])
    buffer = CacheAwareStreamingAudioBuffer(model, pad_and_drop_preencoded=True)
    buffer.append_audio(samples, stream_id=-1)
    channel, time, length = encoder.get_initial_cache_state(batch_size=1)
    hypotheses = None
    with torch.inference_mode():
        for chunk, chunk_length in buffer:
            encoded, lengths, channel, time, length = encoder.cache_aware_stream_step(
                processed_signal=chunk,
                processed_signal_length=chunk_length,
                cache_last_channel=channel,
                cache_last_time=time,
                cache_last_channel_len=length,
                keep_all_outputs=buffer.is_buffer_empty(),
                drop_extra_pre_encoded=encoder.streaming_cfg.drop_extra_pre_encoded,
            )
            hypotheses = model.decoding.rnnt_decoder_predictions_tensor(
                encoder_output=encoded,
                encoded_lengths=lengths,
                return_hypotheses=True,
                partial_hypotheses=hypotheses,
            )
    assert hypotheses
    tokens = [int(token) for token in hypotheses[0].y_sequence]
    return list(zip(tokens, map(int, hypotheses[0].timestamp), strict=True))
