from __future__ import annotations

from pathlib import Path

import kaldialign
import pytest

from benchmarks import clients
from benchmarks.client_runs import ClientRun, Heard, run_client
from benchmarks.clients import Difference, compare_runs, measure
from benchmarks.published import publish_genai, publish_sherpa
from quantkit.bench.exported import ExportedRecognizer
from quantkit.speech.manifest import Utterance, read_manifest
from tests.bundle.conftest import as_artifact
from tests.conftest import Stage


def heard(*texts: str) -> ClientRun:
    """Each letter is a token; every chunk takes 4 ms, the first one longer."""
    return ClientRun([Heard([*map(ord, text)], text, [1.0, 0.004]) for text in texts], 1000)


def test_a_row_counts_tokens_and_words_against_native_and_published() -> None:
    speech = [Utterance(Path(f"{text}.wav"), text=text) for text in ("red dog", "cat")]
    native, run = heard("red dog", "hat"), heard("red fog", "hat")
    row = compare_runs("genai", "toy", run, native, speech, heard("rod fog", "hat"))
    assert (row.utterances, row.token_exact_utterances) == (2, 1)
    assert row.token_error_rate == pytest.approx(0.1)
    assert row.wer == pytest.approx(2 / 3)
    assert row.to_native.value == pytest.approx(1 / 3)
    assert row.to_native.low <= row.to_native.value <= row.to_native.high
    assert row.to_published is not None
    assert row.to_published.value == pytest.approx(-1 / 3)
    assert row.step_ms == pytest.approx(4.0)
    assert str(Difference(0.01, -0.002, 0.02)) == "+1.00% (-0.20% to +2.00%)"
    assert clients.line(row).count("|") == clients.HEAD.splitlines()[0].count("|")


def test_speech_without_texts_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "speech.jsonl"
    manifest.write_text('{"audio": "a.wav", "duration_s": 1.0}\n')
    (tmp_path / "a.wav").write_bytes(b"")
    assert clients.main([str(tmp_path), "--speech", str(manifest)]) == 2
    assert "a.wav: has no text" in capsys.readouterr().err


@pytest.mark.slow
def test_published_exports_run_in_both_clients_and_ours_loses_no_words_to_them(
    incumbents: Path, fused: Stage, parity_manifest: Path, tmp_path: Path
) -> None:
    artifact = as_artifact(fused(560), tmp_path / "demo")
    rows = measure([artifact], incumbents, read_manifest(parity_manifest)[:12], 1)
    by_name = {(row.client, row.model): row for row in rows}
    published = {("genai", "published kquant"), ("sherpa", "published int8")}
    assert by_name.keys() == published | {(name, "demo") for name in ("native", "genai", "sherpa")}
    assert by_name["native", "demo"].token_error_rate == 0
    for client, model in published:
        ours, theirs = by_name[client, "demo"], by_name[client, model]
        assert ours.token_error_rate < 0.15 < theirs.token_error_rate
        assert ours.to_published is not None
        # No loss beyond chance, which on so few clips is wide.
        assert ours.to_published.low <= 0


@pytest.mark.slow
def test_the_published_layouts_say_what_their_graphs_say(
    incumbents: Path, fused: Stage, parity_manifest: Path, tmp_path: Path
) -> None:
    """The float exports in both clients against our own loop over the same graphs."""
    artifact = as_artifact(fused(560), tmp_path / "demo")
    audio = [one.audio for one in read_manifest(parity_manifest)[:8]]
    exported = ExportedRecognizer(incumbents / "fp32", 1)
    expected = [[token.id for token in exported.transcribe(path).tokens] for path in audio]
    publish_genai(incumbents / "fp32", artifact, tmp_path / "genai")
    publish_sherpa(incumbents / "fp32", artifact, tmp_path / "sherpa")
    wrong = {}
    for client in ("genai", "sherpa"):
        found = run_client(client, tmp_path / client, audio).heard
        wrong[client] = sum(
            kaldialign.edit_distance(ours, theirs.tokens)["total"]
            for ours, theirs in zip(expected, found, strict=True)
        )
    total = sum(map(len, expected))
    assert wrong["genai"] < 0.1 * total
    # It drops the first 160 ms instead of putting zeros before them, so more differs.
    assert wrong["sherpa"] < 0.8 * total
