"""Whole streams through the tiny random artifact."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from quantkit.runtime.audio import read_audio
from quantkit.runtime.decoders.greedy import GreedyDecoder, Token
from quantkit.runtime.encoders.cache_aware import EncoderStep
from quantkit.runtime.encoders.chunks import ChunkWindows
from quantkit.runtime.mel import LogMel
from quantkit.runtime.transcriber import Transcriber

Array = np.ndarray[Any, np.dtype[np.float32]]


@pytest.fixture(scope="module")
def transcriber(tiny_artifact: Path) -> Transcriber:
    return Transcriber.load(tiny_artifact, threads=1)


def run(transcriber: Transcriber, audio: Array, size: int) -> tuple[list[Token], str]:
    stream = transcriber.stream()
    added: list[Token] = []
    for start in range(0, len(audio), size):
        added += stream.push(audio[start : start + size])
    added += stream.flush()
    assert added == stream.tokens
    return stream.tokens, stream.text


def test_pieces_of_any_size_give_the_same_tokens(
    transcriber: Transcriber, speech_like: Array
) -> None:
    tokens, text = run(transcriber, speech_like, len(speech_like))
    assert len(tokens) > 5
    assert text == transcriber.vocabulary.text(token.id for token in tokens)
    for size in (1, 159, 1600, 8961):
        assert run(transcriber, speech_like, size) == (tokens, text)


def test_parts_put_together_by_hand_are_a_stream(
    transcriber: Transcriber, speech_like: Array
) -> None:
    settings = transcriber.settings
    mel, windows = LogMel(settings.mel, settings.sample_rate), ChunkWindows(settings)
    step = EncoderStep(transcriber.encoder, transcriber.settings)
    decoder = GreedyDecoder(transcriber.transducer, settings.max_symbols)
    frames = np.concatenate([mel.push(speech_like), mel.flush()])
    encoded = [step.step(chunk) for chunk in windows.push(frames) + windows.flush()]
    hypothesis = decoder.start()
    for part in encoded:
        decoder.extend([hypothesis], part, [part.shape[1]])
    assert hypothesis.tokens == run(transcriber, speech_like, 1000)[0]
    assert sum(part.shape[1] for part in encoded) == 1 + (len(frames) - 1) // 8


def test_frames_never_go_back(transcriber: Transcriber, speech_like: Array) -> None:
    tokens, _ = run(transcriber, speech_like, 4000)
    frames = [token.frame for token in tokens]
    assert frames == sorted(frames)
    assert frames[-1] <= len(speech_like) // 1280 + 1


def test_streams_in_threads_do_not_meet(transcriber: Transcriber, speech_like: Array) -> None:
    parts = [speech_like[start : start + 24_000] for start in range(0, 24_000, 3000)]
    alone = [run(transcriber, part, 777) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda part: run(transcriber, part, 777), parts))
    assert together == alone


def test_transcribes_a_file_of_another_rate(
    transcriber: Transcriber, speech_like: Array, tmp_path: Path
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([speech_like, speech_like / 2], axis=1), 8000)
    transcript = transcriber.transcribe(path)
    audio = read_audio(path)
    tokens, text = run(transcriber, audio, len(audio))
    assert transcript.text == text
    assert [(t.id, t.frame) for t in transcript.tokens] == [(t.id, t.frame) for t in tokens]
    assert transcript.duration_s == len(audio) / 16_000 == 6.0
    assert transcript.rtfx > 0
    for token in transcript.tokens:
        assert token.piece == transcriber.vocabulary.pieces[token.id]
        assert token.time_s == pytest.approx(0.08 * token.frame)


@pytest.mark.parametrize("samples", [0, 1, 160, 1279, 1280])
def test_short_audio_ends_without_an_error(transcriber: Transcriber, samples: int) -> None:
    tokens, _ = run(transcriber, np.zeros(samples, np.float32), 100)
    assert all(token.frame <= samples // 1280 + 1 for token in tokens)


def test_a_flushed_stream_takes_no_more(transcriber: Transcriber) -> None:
    stream = transcriber.stream()
    stream.push(np.zeros(3200))
    stream.flush()
    assert stream.flush() == []
    with pytest.raises(ValueError, match=r"flushed; open another"):
        stream.push([0.0])
