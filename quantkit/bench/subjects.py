"""Candidates in memory: what can be asked of each while it is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import onnxruntime as ort

from quantkit.bench.profile import by_operator, profile_steps
from quantkit.bench.step import TimedStep
from quantkit.runtime.sessions import open_session
from quantkit.runtime.transcriber import Transcriber, Transcript


@dataclass(frozen=True)
class Profile:
    """Where the time of an encoder step goes, and what the step costs."""

    operators: list[dict[str, Any]]
    """See `quantkit.bench.profile.by_operator`."""
    multiply_adds: int
    bytes: int


class Subject(Protocol):
    """A candidate in memory."""

    @property
    def chunk_s(self) -> float:
        """Seconds of audio of one step."""
        ...

    def step(self) -> float:
        """Run the next encoder step; seconds."""
        ...

    def profile(self) -> Profile | None:
        """Take a step apart; None where the encoder is no ONNX graph."""
        ...

    def transcribe(self, audio: Path) -> Transcript:
        """Stream a file through the whole recognizer, for candidates that are one."""
        ...


class OnnxEncoder:
    """Any streaming encoder in ONNX."""

    def __init__(
        self, graph: Path, threads: int, session: ort.InferenceSession | None = None
    ) -> None:
        """Load the graph, unless it is in `session` already."""
        self._graph, self._threads = graph, threads
        self._step = TimedStep(session or open_session(graph, threads), graph)
        self.chunk_s = self._step.ports.chunk_s

    def step(self) -> float:
        return self._step.run()

    def profile(self) -> Profile:
        # What reads graphs is big, and would count as memory of the candidate before this.
        from quantkit.bench.cost import multiply_adds, step_bytes

        steps = profile_steps(self._graph, self._threads)
        moved = step_bytes(self._graph, self._step.ports)
        return Profile(by_operator(steps), multiply_adds(steps[0]), moved)

    def transcribe(self, audio: Path) -> Transcript:
        raise NotImplementedError(f"{self._graph} is an encoder alone, asked for {audio}")


class Artifact(OnnxEncoder):
    """A whole recognizer of quantkit."""

    def __init__(self, directory: Path, graph: Path, threads: int) -> None:
        self._transcriber = Transcriber.load(directory, threads)
        super().__init__(graph, threads, self._transcriber.encoder)
        self.chunk_s = self._transcriber.settings.chunk_s

    def transcribe(self, audio: Path) -> Transcript:
        return self._transcriber.transcribe(audio)
