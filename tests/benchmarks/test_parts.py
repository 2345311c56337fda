from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.parts import added, main, time_parts
from quantkit.runtime.transcriber import Transcriber
from quantkit.speech.manifest import read_manifest
from tests.conftest import Stage


def test_the_parts_together_are_the_recognizer(fused: Stage, parity_manifest: Path) -> None:
    transcriber = Transcriber.load(fused(560), threads=1)
    recordings = [utterance.audio for utterance in read_manifest(parity_manifest)[:3]]
    found = [time_parts(transcriber, audio) for audio in recordings]
    for parts, audio in zip(found, recordings, strict=True):
        expected = [(token.id, token.frame) for token in transcriber.transcribe(audio).tokens]
        assert [(token.id, token.frame) for token in parts.tokens] == expected
    whole = added(found)
    assert whole.chunks == sum(parts.chunks for parts in found)
    seconds = whole.front_end_s + whole.encoder_s + whole.decoder_s
    assert whole.whole_over_encoder == pytest.approx(seconds / whole.encoder_s)
    assert 0 < whole.decoder_over_encoder < whole.whole_over_encoder - 1


def test_the_command_prints_all_parts(
    fused: Stage, parity_manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio = str(read_manifest(parity_manifest)[0].audio)
    assert main([str(fused(560)), audio, "--threads", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[:3]] == ["front end", "encoder", "decoder"]
    assert "whole over encoder" in lines[3]
    assert main(["absent", audio]) == 2
