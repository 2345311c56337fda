"""A tiny artifact of the right shape with random weights, so that the runtime is tested alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.runtime.settings import SCHEMA, StreamingSettings

FLOAT, INTEGER = TensorProto.FLOAT, TensorProto.INT64
LAYERS, HEADS, DIM, LEFT, CONV, MELS, PREDICTOR, PIECES = 2, 2, 8, 14, 4, 16, 6, 12


def streaming_json(right: int = 1, n_mels: int = 128) -> dict[str, Any]:
    """The content of a consistent streaming.json of a small model."""
    chunk = 8 * (right + 1)
    return {
        "schema": SCHEMA,
        "sample_rate": 16000,
        "mel": {
            "n_fft": 512,
            "window_length": 400,
            "hop_length": 160,
            "n_mels": n_mels,
            "preemphasis": 0.97,
            "log_guard": 2.0**-24,
            "f_min": 0.0,
            "f_max": 8000.0,
        },
        "subsampling_factor": 8,
        "left_context": LEFT,
        "right_context": right,
        "chunk_frames": chunk,
        "window_frames": 17 + 8 * right,
        "leading_frames": 16,
        "encoder_frame_s": 0.08,
        "chunk_s": 0.08 * (right + 1),
        "algorithmic_latency_s": 0.08 * right + 0.0125,
        "latency_definition": "any",
        "encoder": {"dim": DIM, "layers": LAYERS, "heads": HEADS, "conv_cache": CONV},
        "predictor": {"layers": 2, "hidden": PREDICTOR},
        "vocabulary_size": PIECES,
        "blank_id": PIECES,
        "max_symbols": 3,
    }


class Graph:
    """Collects the parts of an ONNX graph."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def axes(self, *axes: int) -> str:
        """A constant that stays in the graph wherever its weights are stored."""
        return self.add("Constant", value_ints=list(axes))

    def weight(self, *shape: int, scale: float = 1.0) -> str:
        return self.constant((self.random.normal(size=shape) * scale).astype(np.float32))

    def add(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        out = out or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def save(self, path: Path, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        def infos(ports: dict[str, Any]) -> list[onnx.ValueInfoProto]:
            return [helper.make_tensor_value_info(n, *port) for n, port in ports.items()]

        graph = helper.make_graph(
            self.nodes, path.stem, infos(inputs), infos(outputs), self.constants
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        model.ir_version = 9
        onnx.checker.check_model(model)
        onnx.save(model, path)


def write_encoder(path: Path, settings: StreamingSettings) -> None:
    """Frames = tanh(rows . window . columns + what the caches hold); caches = old + summary."""
    graph = Graph(1)
    frames, window = settings.chunk_encoder_frames, settings.window_frames
    inputs: dict[str, Any] = {
        "features": (FLOAT, ["batch", window, settings.mel.n_mels]),
        "length": (INTEGER, ["batch"]),
        "cache_length": (INTEGER, ["batch"]),
    }
    mixed = graph.add(
        "MatMul",
        graph.weight(frames, window, scale=0.02),
        graph.add("MatMul", "features", graph.weight(settings.mel.n_mels, DIM, scale=0.1)),
    )
    for layer in range(LAYERS):
        for kind in ("key", "value", "conv"):
            name = f"{kind}_cache_{layer}"
            ring = ["batch", HEADS, LEFT + frames, DIM // HEADS]
            shape = ["batch", CONV, DIM] if kind == "conv" else ring
            inputs[name] = (FLOAT, shape)
            axes = graph.axes(*range(1, len(shape)))
            mean = graph.add("ReduceMean", name, axes, keepdims=1)
            if kind != "conv":
                mean = graph.add("Squeeze", mean, graph.axes(3))
            mixed = graph.add("Add", mixed, graph.add("Mul", mean, graph.weight(DIM)))
    length = graph.add("Cast", "cache_length", to=FLOAT)
    length = graph.add("Unsqueeze", length, graph.axes(1, 2))
    mixed = graph.add("Add", mixed, graph.add("Mul", length, graph.weight(1, scale=0.1)))
    encoded = graph.add("Tanh", mixed, out="encoded")
    summary = graph.add("ReduceMean", encoded, graph.axes(1, 2), keepdims=1)
    outputs = {"encoded": (FLOAT, ["batch", frames, DIM]), "encoded_length": (INTEGER, ["batch"])}
    for name in list(inputs)[3:]:
        half = graph.add("Mul", name, graph.constant(np.float32(0.5)))
        axes = graph.axes(3)
        added = summary if "conv" in name else graph.add("Unsqueeze", summary, axes)
        graph.add("Add", half, added, out=f"{name}_next")
        outputs[f"{name}_next"] = inputs[name]
    rows = graph.add("Sub", "length", graph.constant(np.array([9], np.int64)))
    graph.add("Div", rows, graph.constant(np.array([8], np.int64)), out="encoded_length")
    graph.add("Add", "cache_length", "encoded_length", out="cache_length_next")
    outputs["cache_length_next"] = (INTEGER, ["batch"])
    graph.save(path, inputs, outputs)


def write_predictor(path: Path) -> None:
    """Prediction = tanh(embedding + mixed hidden state); states move with it."""
    graph = Graph(2)
    state = (FLOAT, [2, "batch", PREDICTOR])
    first = graph.add("Squeeze", "token", graph.axes(1))
    embedded = graph.add("Gather", graph.weight(PIECES + 1, PREDICTOR), first)
    mixed = graph.add("MatMul", "hidden", graph.weight(PREDICTOR, PREDICTOR))
    spread = graph.add("Tanh", graph.add("Add", graph.add("Add", mixed, embedded), "cell"))
    graph.add("Identity", spread, out="hidden_next")
    graph.add("Mul", spread, graph.weight(1), out="cell_next")
    mean = graph.add("ReduceMean", spread, graph.axes(0), keepdims=0)
    graph.add("Unsqueeze", mean, graph.axes(1), out="prediction")
    graph.save(
        path,
        {"token": (INTEGER, ["batch", 1]), "hidden": state, "cell": state},
        {"prediction": (FLOAT, ["batch", 1, PREDICTOR]), "hidden_next": state, "cell_next": state},
    )


def write_joint(path: Path) -> None:
    """Logits = tanh(encoded + prediction, projected) projected, with a nudge towards the blank."""
    graph = Graph(3)
    left = graph.add("MatMul", "encoded", graph.weight(DIM, 8, scale=2.0))
    right = graph.add("MatMul", "prediction", graph.weight(PREDICTOR, 8, scale=2.0))
    joined = graph.add("Tanh", graph.add("Add", left, right))
    bias = np.zeros(PIECES + 1, np.float32)
    bias[PIECES] = 2.0
    logits = graph.add("MatMul", joined, graph.weight(8, PIECES + 1))
    graph.add("Add", logits, graph.constant(bias), out="logits")
    graph.save(
        path,
        {
            "encoded": (FLOAT, ["batch", "frames", DIM]),
            "prediction": (FLOAT, ["batch", 1, PREDICTOR]),
        },
        {"logits": (FLOAT, ["batch", "frames", PIECES + 1])},
    )


@pytest.fixture
def streaming_content() -> dict[str, Any]:
    return streaming_json()


@pytest.fixture(params=[0, 1, 6], ids=lambda right: f"right{right}")
def settings(request: pytest.FixtureRequest) -> StreamingSettings:
    return StreamingSettings.from_dict(streaming_json(request.param))


@pytest.fixture(scope="session")
def tiny_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with everything that the runtime reads."""
    directory = tmp_path_factory.mktemp("tiny")
    content = streaming_json(right=1, n_mels=MELS)
    (directory / "streaming.json").write_text(json.dumps(content))
    settings = StreamingSettings.load(directory)
    write_encoder(directory / "encoder.onnx", settings)
    write_predictor(directory / "predictor.onnx")
    write_joint(directory / "joint.onnx")
    pieces = [f"\u2581{letter}" for letter in "abcdef"] + list("ghijkl")
    lines = [f"{piece} {index}\n" for index, piece in enumerate([*pieces, "<blk>"])]
    (directory / "tokens.txt").write_text("".join(lines), encoding="utf-8")
    return directory


@pytest.fixture(scope="session")
def speech_like() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Three seconds of noise bursts over a gliding tone, 16 kHz."""
    random = np.random.default_rng(5)
    time = np.arange(48_000) / 16_000
    bursts = random.normal(size=48_000) * 0.2 * (np.sin(2 * np.pi * 2 * time) > 0)
    glide = 0.2 * np.sin(2 * np.pi * (200 + 150 * time) * time)
    return (bursts + glide).astype(np.float32)
