"""A candidate in a process of its own, so that its memory can be told, doing one step on demand."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

from quantkit.bench.candidate import Candidate
from quantkit.bench.exported import ExportedRecognizer
from quantkit.bench.machine import Memory, memory
from quantkit.bench.step import noise
from quantkit.bench.subjects import Artifact, OnnxEncoder, Profile, Subject
from quantkit.core.errors import QuantkitError
from quantkit.core.processes import end_with, sheltered
from quantkit.runtime.transcriber import Transcript


@dataclass(frozen=True)
class Loaded:
    """What loading a candidate told."""

    load_s: float
    base_bytes: int
    """Resident memory of the process before loading: Python and the runtime's libraries."""
    chunk_s: float


class WorkerDiedError(QuantkitError):
    """A candidate's process ended without an answer."""


class Worker(AbstractContextManager["Worker"]):
    """The measuring process's side of a candidate; use it as a context manager."""

    def __init__(self, candidate: Candidate, threads: int, chunk_ms: int) -> None:
        """Start loading; `chunk_ms` counts for candidates that can take chunks of any length."""
        self.candidate = candidate
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        arguments = (theirs, os.getpid(), candidate, threads, chunk_ms)
        self._process = spawn.Process(target=_serve, args=arguments, daemon=True)
        with sheltered():
            self._process.start()
        theirs.close()

    def loaded(self) -> Loaded:
        """Wait until the candidate is loaded; the first call to make, and to make once."""
        found: Loaded = self._receive()
        return found

    def step(self) -> float:
        """Run one encoder step; seconds."""
        return float(self._ask("step"))

    def transcribe(self, audio: Path) -> Transcript:
        """Stream a file through the whole recognizer."""
        found: Transcript = self._ask("transcribe", audio)
        return found

    def memory(self) -> Memory:
        """What the process holds now."""
        found: Memory = self._ask("memory")
        return found

    def profile(self) -> Profile | None:
        """Take an encoder step apart; it loads the encoder once more."""
        found: Profile | None = self._ask("profile")
        return found

    def _ask(self, what: str, *arguments: Any) -> Any:
        self._pipe.send((what, *arguments))
        return self._receive()

    def _receive(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError as error:
            self._process.join()
            raise WorkerDiedError(
                f"{self.candidate.path}: its process ended with {self._process.exitcode} while "
                "being measured (-9 often means that memory ran out)"
            ) from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pipe.close()
        if error is not None:
            self._process.terminate()
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.kill()


def _serve(
    pipe: Connection, parent: int, candidate: Candidate, threads: int, chunk_ms: int
) -> None:
    """Load, then answer until the other side hangs up or ends."""
    # An exception, so that temporary files go.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    end_with(parent, lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        load = _loader(candidate, threads, chunk_ms)
        base = memory().rss_bytes
        began = time.perf_counter()
        subject = load()
        pipe.send(Loaded(time.perf_counter() - began, base, subject.chunk_s))
        while True:
            match pipe.recv():
                case ("step",):
                    pipe.send(subject.step())
                case ("transcribe", audio):
                    pipe.send(subject.transcribe(audio))
                case ("memory",):
                    pipe.send(memory())
                case ("profile",):
                    pipe.send(subject.profile())
                case question:
                    raise AssertionError(question)
    except (QuantkitError, ModuleNotFoundError) as error:
        pipe.send(error)
    except (EOFError, BrokenPipeError):
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # this process ends anyway


def _loader(candidate: Candidate, threads: int, chunk_ms: int) -> Callable[[], Subject]:
    """What loads the candidate; libraries that it alone needs are imported already."""
    match candidate.kind:
        case "artifact":
            return partial(Artifact, candidate.path, candidate.graph, threads)
        case "encoder":
            return partial(OnnxEncoder, candidate.graph, threads)
        case "exported":
            return partial(ExportedRecognizer, candidate.path, threads)
        case "nemo":
            from quantkit.nemo.stepping import NemoModel

            return partial(NemoModel, candidate.path, threads, chunk_ms, noise)
