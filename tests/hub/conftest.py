"""A hub, and an artifact whose files are large enough to be cut."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from huggingface_hub import constants

from quantkit.bundle.native import Facts, bundle_native
from quantkit.cli import main
from tests.hub.endpoints import running_hub
from tests.hub.hub import TOKEN
from tests.runtime.conftest import streaming_json

RECIPE = {
    "schema": 1,
    "name": "toy-int4",
    "model": {"source": "demo", "chunk_ms": 560},
    "quantize": {"scheme": "rtn", "bits": 4, "block_size": 32},
    "verify": {"manifest": "speech.jsonl", "gates": {"token_error_rate": 0.1}},
}
PARITY = {
    "utterances": 3,
    "token_exact_utterances": 2,
    "token_errors": 1,
    "reference_tokens": 42,
    "near_tie_errors": 1,
    "encoder_max_abs_error": 2e-2,
    "wer": {"reference": 0.25, "candidate": 0.25},
}
#: float32 numbers of each graph: one goes to the hub in parts, the others whole.
WEIGHTS = {"encoder": 700_000, "predictor": 250_000, "joint": 100_000}


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory) -> Path:
    """Graphs of random weights beside the other files of a model directory."""
    folder, random = tmp_path_factory.mktemp("toy-model"), np.random.default_rng(1)
    for name, count in WEIGHTS.items():
        tensor = ir.tensor(random.random(count, np.float32), name="weight")
        value = ir.Value(name="weight", const_value=tensor)
        graph = ir.Graph([], [], nodes=[], initializers=[value], opset_imports={"": 21})
        model = ir.Model(graph, ir_version=10)
        ir.save(model, folder / f"{name}.onnx", external_data=f"{name}.onnx.data")
    settings = streaming_json(right=6) | {
        "algorithmic_latency_s": 0.49,
        "latency_definition": "delay",
    }
    (folder / "streaming.json").write_text(json.dumps(settings))
    (folder / "tokens.txt").write_text("a 0\n")
    (folder / "tokenizer.model").write_bytes(b"\0pieces")
    return folder


def make_artifact(model: Path, out: Path, **changes) -> Path:
    facts: dict[str, Any] = {
        "recipe": RECIPE,
        "source": {"name": "demo", "revision": None, "sha256": "5" * 64},
        "versions": {"quantkit": "0.1.0"},
        "parity": PARITY,
        "graphs": None,
        "key": "1" * 64,
    }
    out.mkdir()
    bundle_native(model, out, Facts(**facts | changes))
    return out


@pytest.fixture
def artifact(toy_model, tmp_path) -> Path:
    return make_artifact(toy_model, tmp_path / "toy-int4")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A running hub that the client of this process and of its children talks to."""
    with running_hub() as running:
        for name, value in {
            "HF_ENDPOINT": running.url,
            "HF_TOKEN": TOKEN,
            "HF_HOME": str(tmp_path / "hf-home"),
            "HF_HUB_DISABLE_XET": "1",
        }.items():
            monkeypatch.setenv(name, value)
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "hf-home"))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf-home" / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield running


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """Seconds that would have been waited."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def run(capfd, caplog):
    """Run a command in this process; whatever happens, the token shows nowhere."""

    def command(*words: object) -> Ran:
        code = main([str(word) for word in words])
        out, err = capfd.readouterr()
        assert TOKEN not in out + err + caplog.text
        return Ran(code, out, err)

    return command
