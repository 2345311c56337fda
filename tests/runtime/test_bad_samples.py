"""One bad sample costs its moment, not the stream; and never another stream."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile
from onnx import helper

from quantkit.core.errors import InputError
from quantkit.runtime.decoders.greedy import Token
from quantkit.runtime.encoders.cache_aware import EncoderStep
from quantkit.runtime.encoders.chunks import Chunk
from quantkit.runtime.pool import PooledStream
from quantkit.runtime.stream_state import StreamState, StreamWarning
from quantkit.runtime.transcriber import Transcriber

Array = np.ndarray[Any, np.dtype[np.float32]]
BAD = [np.nan, np.inf, -np.inf, 1e20, -3e38]


@pytest.fixture(scope="module")
def transcriber(tiny_artifact: Path) -> Transcriber:
    return Transcriber.load(tiny_artifact, threads=1)


def alone(transcriber: Transcriber, audio: Array) -> list[Token]:
    stream = transcriber.stream()
    for start in range(0, len(audio), 1600):
        stream.push(audio[start : start + 1600])
    stream.flush()
    return stream.tokens


@pytest.mark.parametrize("value", BAD)
def test_a_bad_sample_is_heard_as_silence(
    transcriber: Transcriber, speech_like: Array, value: float
) -> None:
    silent, bad = speech_like.copy(), speech_like.copy()
    silent[16_000], bad[16_000] = 0, value
    with pytest.warns(StreamWarning, match="1 of those given after 1.00 s of a stream") as said:
        assert alone(transcriber, bad) == alone(transcriber, silent)
    assert len(said) == 1


def test_bad_samples_are_counted_and_told_once(transcriber: Transcriber) -> None:
    stream = transcriber.stream()
    bad = np.array([np.nan, 0.5, np.inf], np.float32)
    with pytest.warns(StreamWarning, match="2 of those"):
        stream.push(bad)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(4):
            stream.push(bad)
    stream.flush()
    assert stream.replaced_samples == 10
    assert stream.duration_s == 15 / 16_000


def pooled(transcriber: Transcriber, audios: list[Array]) -> list[PooledStream]:
    pool = transcriber.pool(len(audios))
    streams = [pool.open() for _ in audios]
    for start in range(0, max(map(len, audios)), 1600):
        for stream, audio in zip(streams, audios, strict=True):
            stream.push(audio[start : start + 1600])
        pool.step()
    for stream in streams:
        stream.flush()
    while pool.step():
        pass
    return streams


@pytest.mark.parametrize("value", BAD)
def test_the_other_streams_of_a_pool_hear_nothing_of_it(
    transcriber: Transcriber, speech_like: Array, value: float
) -> None:
    audios = [np.roll(speech_like, 3000 * i) for i in range(8)]
    expected = [alone(transcriber, audio) for audio in audios]
    audios[3] = audios[3].copy()
    audios[3][20_000] = value
    with pytest.warns(StreamWarning, match="1 of those"):
        streams = pooled(transcriber, audios)
    found = [stream.tokens for stream in streams]
    assert found[:3] + found[4:] == expected[:3] + expected[4:]
    assert [stream.replaced_samples for stream in streams] == [0, 0, 0, 1, 0, 0, 0, 0]


def test_integers_are_heard_as_the_floats_they_stand_for(
    transcriber: Transcriber, speech_like: Array
) -> None:
    audio = (speech_like / np.abs(speech_like).max() * 32767).astype(np.int16)
    assert alone(transcriber, audio) == alone(transcriber, audio.astype(np.float32) / 32768)
    stream = transcriber.pool(1).open()
    with pytest.raises(TypeError, match="samples are bool"):
        stream.push(np.ones(10, bool))
    assert stream.duration_s == 0


def poison(stream: StreamState, chunk: Chunk) -> None:
    """Put features that the encoder makes no numbers of before what waits for it."""
    stream.waiting.append(Chunk(np.full_like(chunk.features, np.nan), chunk.length))


def test_a_chunk_that_is_not_finite_empties_the_caches(
    transcriber: Transcriber, speech_like: Array
) -> None:
    """What follows is as in a stream whose caches are empty there."""
    stream, fresh = transcriber.stream(), transcriber.stream()
    stream.push(speech_like[:16_000])
    known = len(stream.tokens)
    frames = stream.hypothesis.frames
    chunk = Chunk(
        np.zeros(
            (1, transcriber.settings.window_frames, transcriber.settings.mel.n_mels), np.float32
        ),
        transcriber.settings.window_frames,
    )
    poison(stream, chunk)
    with pytest.warns(StreamWarning, match=r"2 frames from 0\.96 s of a stream on are not finite"):
        stream.push([])
    assert stream.lost_frames == 2
    assert len(stream.tokens) == known, "no token is made of it"
    assert stream.hypothesis.frames == frames + 2, "later tokens keep their times"
    # A stream of which the encoder alone is new says the same from here on.
    fresh.push(speech_like[:16_000])
    fresh._encoder = EncoderStep(transcriber.encoder, transcriber.settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, expected = stream.push(speech_like[16_000:]), fresh.push(speech_like[16_000:])
    assert [token.id for token in found] == [token.id for token in expected]
    assert [token.frame - 2 for token in found] == [token.frame for token in expected]
    assert found


def test_a_chunk_that_is_not_finite_in_a_pool_is_that_streams_own(
    transcriber: Transcriber, speech_like: Array
) -> None:
    pool = transcriber.pool(3)
    streams = [pool.open() for _ in range(3)]
    for stream in streams:
        stream.push(speech_like[:8000])
    chunk = streams[1].waiting[0]
    while pool.step():
        pass
    for stream in streams:
        stream.waiting.append(chunk)
    streams[1].waiting.pop()
    poison(streams[1], chunk)
    with pytest.warns(StreamWarning, match="are not finite") as said:
        pool.step()
    assert len(said) == 1
    for stream in streams:
        stream.push(speech_like[8000:])
        stream.flush()
    while pool.step():
        pass
    assert [stream.lost_frames for stream in streams] == [0, 2, 0]
    assert streams[0].tokens == streams[2].tokens
    assert streams[0].hypothesis.frames == streams[1].hypothesis.frames
    other = transcriber.stream()
    other.push(speech_like[:8000])
    other.waiting.append(chunk)
    other.push(speech_like[8000:])
    other.flush()
    assert streams[0].tokens == other.tokens


def broken(tiny_artifact: Path, folder: Path, graph: str, output: str, kind: str) -> Path:
    """The artifact with a node between a graph's last one and that output."""
    for file in tiny_artifact.iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    model = onnx.load(folder / f"{graph}.onnx")
    for node in model.graph.node:
        node.output[:] = ["inner" if name == output else name for name in node.output]
        node.input[:] = ["inner" if name == output else name for name in node.input]
    if kind == "nan":
        model.graph.node.append(helper.make_node("Sub", ["inner", "inner"], ["nothing"]))
        model.graph.node.append(helper.make_node("Div", ["nothing", "nothing"], [output]))
    else:  # an index beyond a size that is open, which shows only when it runs
        many = onnx.numpy_helper.from_array(np.array(1000, np.int64), "many")
        model.graph.initializer.append(many)
        model.graph.node.extend(
            [
                helper.make_node("Size", ["inner"], ["size"]),
                helper.make_node("Add", ["size", "many"], ["beyond"]),
                helper.make_node("Gather", ["inner", "beyond"], ["row"], axis=0),
                helper.make_node("Add", ["inner", "row"], [output]),
            ]
        )
    onnx.save(model, folder / f"{graph}.onnx")
    return folder


@pytest.mark.parametrize("streams", [1, 2])
def test_an_encoder_that_never_says_numbers_is_an_error(
    tiny_artifact: Path, tmp_path: Path, speech_like: Array, streams: int
) -> None:
    artifact = broken(tiny_artifact, tmp_path, "encoder", "encoded", "nan")
    soundfile.write(tmp_path / "a.wav", speech_like, 16_000)
    transcriber = Transcriber.load(artifact, threads=1)
    paths = [tmp_path / "a.wav"] * 2
    with pytest.warns(StreamWarning, match="are not finite"):
        found = list(transcriber.transcribe_many(paths, streams))
    for one in found:
        assert isinstance(one, InputError)
        assert "encoder.onnx: none of its frames are finite numbers" in str(one)


@pytest.mark.parametrize(
    ("graph", "output", "said"),
    [("joint", "logits", "joint"), ("predictor", "prediction", "joint")],
)
def test_logits_that_are_no_numbers_are_an_error(
    tiny_artifact: Path, tmp_path: Path, speech_like: Array, graph: str, output: str, said: str
) -> None:
    artifact = broken(tiny_artifact, tmp_path, graph, output, "nan")
    stream = Transcriber.load(artifact, threads=1).stream()
    with pytest.raises(InputError, match=rf"{said}\.onnx: its logits are not numbers \(NaN\)"):
        stream.push(speech_like)
    assert stream.tokens == []


@pytest.mark.parametrize(
    ("graph", "output"),
    [("encoder", "encoded"), ("joint", "logits"), ("predictor", "prediction")],
)
def test_a_graph_that_cannot_run_is_named(
    tiny_artifact: Path, tmp_path: Path, speech_like: Array, graph: str, output: str
) -> None:
    artifact = broken(tiny_artifact, tmp_path, graph, output, "gather")
    transcriber = Transcriber.load(artifact, threads=1)

    def alone() -> None:
        transcriber.stream().push(speech_like)

    def together() -> None:
        pool = transcriber.pool(2)
        pool.open().push(speech_like)
        pool.step()

    for run in (alone, together):
        with pytest.raises(InputError, match=rf"{graph}\.onnx: ONNX Runtime .* cannot run it: "):
            run()
