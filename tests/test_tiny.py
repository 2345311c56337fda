"""quantkit in ten lines on the smallest model: where a new reader starts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit import Transcriber, build, compare, quantize
from quantkit.cli import main
from tests.models.shape import SMALL_CHECKPOINT

RECIPE = """
schema: 1
name: tiny-int4
model: {source: tiny.nemo, chunk_ms: 560}
quantize: {scheme: rtn, bits: 8, block_size: 32}
verify: {manifest: speech.jsonl, gates: {token_error_rate: 0.5}}
"""


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint with random weights, a recipe, and two recordings with texts."""
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(SMALL_CHECKPOINT, "tiny.nemo")
    Path("tiny.yaml").write_text(RECIPE)
    noise = np.random.default_rng(1).standard_normal((2, 48_000)) * 0.1
    for name, samples in zip("ab", noise, strict=True):
        soundfile.write(f"{name}.wav", samples, 16_000)
    lines = [{"audio": f"{name}.wav", "text": "any words"} for name in "ab"]
    Path("speech.jsonl").write_text("\n".join(map(json.dumps, lines)))


@pytest.mark.slow
@pytest.mark.usefixtures("workshop")
def test_quantkit_in_ten_lines() -> None:
    built = build("tiny.yaml")
    assert all(gate.passed for gate in built.gates)
    assert Transcriber.load(built.artifact).transcribe(Path("a.wav")).tokens
    assert main(["verify", str(built.artifact)]) == 0
    [encoder] = Path(".quantkit/store/fuse").glob("*/files/encoder.onnx")
    assert quantize(encoder, "encoder.onnx", scheme="kquant", bits=4)["bits_per_weight"] < 8
    compared = compare(["tiny.yaml"], "speech.jsonl", speed=False, jobs=1)
    assert [scheme.name for scheme in compared.schemes if scheme.role == "scheme"] == ["tiny-int4"]
