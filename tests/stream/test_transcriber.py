"""The runtime on a built fp32 artifact of the demo model and on real speech."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from quantkit.stream import Transcriber, algorithmic_latency, read_audio

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


def test_pieces_of_any_size_give_the_same_tokens(
    transcriber: Transcriber, clips: list[tuple[Path, str]]
) -> None:
    audio = read_audio(clips[0][0])
    results = []
    for size in (len(audio), 1600, 777):
        stream = transcriber.stream()
        for start in range(0, len(audio), size):
            stream.push(audio[start : start + size])
        stream.flush()
        results.append(stream.tokens)
    assert results[0] == results[1] == results[2]


def test_silence_does_not_break_a_stream(transcriber: Transcriber) -> None:
    stream = transcriber.stream()
    stream.push(np.zeros(10 * 16_000, np.float32))
    stream.flush()
    assert stream.duration_s == 10.0
