"""The real clients over speech, each in a process of its own, and the native runtime beside them.

Both clients get what their bundles' README tells users to feed: a silent chunk at the end, and for
sherpa-onnx half a hop of silence at the start (its frames are centred so much later).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantkit.bench.machine import memory
from quantkit.bundle import genai, sherpa
from quantkit.core.errors import QuantkitError
from quantkit.core.processes import sheltered
from quantkit.runtime.audio import read_audio
from quantkit.runtime.tokens import SPACE, Vocabulary
from quantkit.runtime.transcriber import Transcriber

RATE, HOP = 16000, 160
Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Heard:
    """One utterance: tokens, their text, and the seconds that each chunk took."""

    tokens: list[int]
    text: str
    steps_s: list[float]


@dataclass(frozen=True)
class ClientRun:
    """What a client said of each utterance.

    `rss_bytes` is what model and client added to the resident memory of their process.
    """

    heard: list[Heard]
    rss_bytes: int


class Recognizer(Protocol):
    """A client with a model in memory."""

    def transcribe(self, samples: Samples) -> Heard:
        """Stream float32 mono samples at 16 kHz, chunk by chunk."""
        ...


class GenaiRecognizer:
    """onnxruntime-genai."""

    def __init__(self, bundle: Path, threads: int) -> None:
        import onnxruntime_genai as og

        options = {"intra_op_num_threads": threads}
        config = og.Config(str(bundle))
        config.overlay(json.dumps({"model": {"encoder": {"session_options": options}}}))
        self._og, self._model = og, og.Model(config)
        self._tokenizer = og.Tokenizer(self._model)
        content = json.loads((bundle / genai.CONFIG).read_text(encoding="utf-8"))
        self._chunk = int(content["model"]["chunk_samples"])

    def transcribe(self, samples: Samples) -> Heard:
        og = self._og
        processor, words = og.StreamingProcessor(self._model), self._tokenizer.create_stream()
        generator = og.Generator(self._model, og.GeneratorParams(self._model))
        tokens: list[int] = []
        steps: list[float] = []
        padded = np.pad(samples, (0, 2 * self._chunk - len(samples) % self._chunk))
        for piece in padded.reshape(-1, self._chunk):
            features = processor.process(piece)
            began = time.perf_counter()
            generator.set_inputs(features)
            while not generator.is_done():
                generator.generate_next_token()
                tokens += map(int, generator.get_next_tokens())
            steps.append(time.perf_counter() - began)
        return Heard(tokens, "".join(map(words.decode, tokens)).strip(), steps)


class SherpaRecognizer:
    """sherpa-onnx; `lead` is the silence that it is given first, in samples."""

    def __init__(self, bundle: Path, threads: int, lead: int = HOP // 2) -> None:
        import sherpa_onnx

        files = {name: str(bundle / file) for name, file in sherpa.FILES.items()}
        tokens = bundle / "tokens.txt"
        self._recognizer = sherpa_onnx.OnlineRecognizer.from_transducer(
            tokens=str(tokens), num_threads=threads, provider="cpu", **files
        )
        pieces = Vocabulary.load(tokens).pieces
        self._ids = {piece.replace(SPACE, " "): index for index, piece in enumerate(pieces)}
        self._lead = lead

    def transcribe(self, samples: Samples) -> Heard:
        stream = self._recognizer.create_stream()
        # Its own examples end with 0.66 s of silence.
        stream.accept_waveform(RATE, np.pad(samples, (self._lead, 66 * HOP)))
        stream.input_finished()
        steps: list[float] = []
        while self._recognizer.is_ready(stream):
            began = time.perf_counter()
            self._recognizer.decode_stream(stream)
            steps.append(time.perf_counter() - began)
        result = self._recognizer.get_result_all(stream)
        return Heard([self._ids[token] for token in result.tokens], result.text.strip(), steps)


class NativeRecognizer:
    """quantkit's own runtime."""

    def __init__(self, artifact: Path, threads: int) -> None:
        self._transcriber = Transcriber.load(artifact, threads)

    def transcribe(self, samples: Samples) -> Heard:
        stream = self._transcriber.stream()
        chunk = self._transcriber.settings.chunk_frames * HOP
        steps: list[float] = []
        for start in range(0, len(samples), chunk):
            began = time.perf_counter()
            stream.push(samples[start : start + chunk])
            steps.append(time.perf_counter() - began)
        stream.flush()
        return Heard([token.id for token in stream.tokens], stream.text, steps)


RECOGNIZERS: dict[str, Callable[[Path, int], Recognizer]] = {
    "native": NativeRecognizer,
    "genai": GenaiRecognizer,
    "sherpa": SherpaRecognizer,
}


class ClientDiedError(QuantkitError):
    """A client ended its process, as sherpa-onnx does with a model that it refuses."""


def run_client(client: str, model: Path, audio: Sequence[Path], threads: int = 1) -> ClientRun:
    """Transcribe files with one client in a process of its own.

    Args:
        client: native, genai or sherpa.
        model: an artifact, or a bundle in that client's layout.
        audio: files of any rate.
        threads: of the client's sessions.

    Raises:
        ClientDiedError: the process ended.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            with sheltered():
                run = pool.submit(_run, client, model, audio, threads)
            return run.result()
        except BrokenProcessPool as error:
            raise ClientDiedError(f"{client}: ended its process on {model}") from error


def _run(client: str, model: Path, audio: Sequence[Path], threads: int) -> ClientRun:
    samples = [read_audio(path, RATE) for path in audio]
    before = memory().rss_bytes
    recognizer = RECOGNIZERS[client](model, threads)
    heard = [recognizer.transcribe(one) for one in samples]
    return ClientRun(heard, memory().rss_bytes - before)


def step_ms(run: ClientRun) -> float:
    """Median time of a chunk in milliseconds, first chunks left out."""
    steps: list[Any] = [second for heard in run.heard for second in heard.steps_s[1:]]
    return float(np.median(steps)) * 1e3
