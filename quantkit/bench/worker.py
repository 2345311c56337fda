"""A candidate in a process of its own, so that its memory can be told, doing one step on demand."""

from __future__ import annotations

import multiprocessing
import signal
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from quantkit.bench.candidate import Candidate
from quantkit.bench.step import TimedStep
from quantkit.core.errors import QuantkitError
from quantkit.stream import Transcriber, Transcript, open_session


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

    def __init__(self, candidate: Candidate, threads: int) -> None:
        self.candidate = candidate
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, candidate, threads), daemon=True)
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

    def resident(self) -> int:
        """Bytes of memory that the process holds now."""
        return int(self._ask("resident"))

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
        if isinstance(answer, QuantkitError):
            raise answer
        return answer

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pipe.close()
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.kill()


def _serve(pipe: Connection, candidate: Candidate, threads: int) -> None:
    """Load, then answer until the other side hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other side decides
    try:
        process = psutil.Process()
        base = process.memory_info().rss
        began = time.perf_counter()
        transcriber = Transcriber.load(candidate.path, threads) if candidate.native else None
        session = transcriber.encoder if transcriber else open_session(candidate.graph, threads)
        load_s = time.perf_counter() - began
        step = TimedStep(session, str(candidate.graph))
        chunk_s = transcriber.settings.chunk_s if transcriber else step.ports.chunk_s
        pipe.send(Loaded(load_s, base, chunk_s))
        while True:
            match pipe.recv():
                case ("step",):
                    pipe.send(step.run())
                case ("transcribe", audio) if transcriber:
                    pipe.send(transcriber.transcribe(audio))
                case ("resident",):
                    pipe.send(process.memory_info().rss)
                case question:
                    raise AssertionError(question)
    except QuantkitError as error:
        pipe.send(error)
    except (EOFError, BrokenPipeError):
        pass
