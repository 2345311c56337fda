"""The runtime on a built fp32 artifact of the demo model and on real speech."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from quantkit.core.errors import InputError
from quantkit.runtime.settings import algorithmic_latency
from quantkit.runtime.transcriber import Transcriber, Transcript

PARITY = Path(__file__).parents[2] / "calibration" / "asterisk-parity" / "manifest.jsonl"


@pytest.fixture(scope="module")
def transcriber(demo_artifact: Path) -> Transcriber:
    return Transcriber.load(demo_artifact, threads=1)


@pytest.fixture(scope="module")
def clips() -> list[tuple[Path, str]]:
    """A few clips and their texts."""
    lines = [json.loads(line) for line in PARITY.read_text(encoding="utf-8").splitlines()]
    return [(PARITY.parent / line["audio"], line["text"]) for line in lines[:4]]


def test_latency_in_the_artifact_is_the_computed_one(transcriber: Transcriber) -> None:
    settings = transcriber.settings
    assert settings.algorithmic_latency_s == pytest.approx(algorithmic_latency(settings))


def test_speech_becomes_words(transcriber: Transcriber, clips: list[tuple[Path, str]]) -> None:
    texts = [transcriber.transcribe(path).text for path, _ in clips]
    assert all(text.strip() for text in texts)
    said = {word for _, text in clips for word in text.lower().split()}
    heard = {word for text in texts for word in text.lower().split()}
    assert said & heard


def test_silence_does_not_break_a_stream(transcriber: Transcriber) -> None:
    stream = transcriber.stream()
    stream.push(np.zeros(10 * 16_000, np.float32))
    stream.flush()
    assert stream.duration_s == 10.0


@pytest.fixture(scope="module", params=["fp32", "int4"])
def either(
    request: pytest.FixtureRequest, demo_artifact: Path, tmp_path_factory: pytest.TempPathFactory
) -> Transcriber:
    """The demo model in float32, and in 4 bits with the 8-bit decoder that recipes have."""
    if request.param == "fp32":
        return Transcriber.load(demo_artifact, threads=2)
    from quantkit.core.progress import Silent
    from quantkit.quantize.graphs import quantize_model
    from quantkit.quantize.settings import parse_settings

    # Blocks of 32: with larger ones ONNX Runtime rounds the last of an odd number of rows
    # differently, and a chunk of 560 ms has 7 rows.
    decoder = [{"match": f"{graph}/*", "bits": 8} for graph in ("predictor", "joint")]
    content = {"scheme": "rtn", "bits": 4, "block_size": 32, "accuracy_level": 4, "rules": decoder}
    out = tmp_path_factory.mktemp("int4")
    quantize_model(demo_artifact, None, parse_settings(content), out, Silent())
    return Transcriber.load(out, threads=2)


@pytest.mark.slow
def test_files_together_are_as_alone(either: Transcriber) -> None:
    lines = [json.loads(line) for line in PARITY.read_text(encoding="utf-8").splitlines()[:24]]
    paths = [PARITY.parent / line["audio"] for line in lines]
    alone = [either.transcribe(path) for path in paths]
    together = [one for one in either.transcribe_many(paths, 5) if not isinstance(one, InputError)]
    assert [one.tokens for one in together] == [one.tokens for one in alone]
    assert [one.duration_s for one in together] == [one.duration_s for one in alone]
    assert len({one.duration_s for one in alone}) > 10
    assert sum(len(one.tokens) for one in alone) > 200


def test_a_bad_file_stops_no_other(
    transcriber: Transcriber, clips: list[tuple[Path, str]], tmp_path: Path
) -> None:
    paths = [path for path, _ in clips]
    heard = list(transcriber.transcribe_many([paths[0], tmp_path / "gone.wav", *paths[1:]], 2))
    assert isinstance(heard[1], InputError)
    assert "gone.wav" in str(heard.pop(1))
    texts = [one.text for one in heard if isinstance(one, Transcript)]
    assert texts == [transcriber.transcribe(path).text for path in paths]
