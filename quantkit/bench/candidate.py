"""What can be measured: an artifact, another exporter's encoder in ONNX, a NeMo checkpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from quantkit.bench import exported
from quantkit.core.errors import InputError
from quantkit.runtime.settings import SETTINGS_FILE, StreamingSettings

Kind = Literal["artifact", "encoder", "exported", "nemo"]


@dataclass(frozen=True)
class Candidate:
    """One thing to measure."""

    name: str
    path: Path
    graph: Path
    """The encoder, or the checkpoint."""
    kind: Kind

    @property
    def recognizes(self) -> bool:
        """Whether it is a whole recognizer, not an encoder alone."""
        return self.kind != "encoder"

    @property
    def bytes(self) -> int:
        """Size on disk of all that belongs to it."""
        return _size(self._files())

    @property
    def encoder_bytes(self) -> int | None:
        """Size on disk of the encoder with its data; None where it has no file of its own."""
        files = self._files()
        if self.kind in ("artifact", "exported"):
            files = [file for file in files if file.name.startswith(f"{self.graph.stem}.")]
        return None if self.kind == "nemo" else _size(files)

    def _files(self) -> list[Path]:
        folder, prefix = self.graph.parent, "" if self.path.is_dir() else self.graph.name
        return [f for f in folder.iterdir() if f.is_file() and f.name.startswith(prefix)]


def find_candidates(paths: Sequence[Path]) -> list[Candidate]:
    """What the paths stand for, each under a name of its own.

    Raises:
        InputError: a path is no artifact, ONNX file, directory with one, or NeMo checkpoint.
    """
    found = [_find(path) for path in paths]
    names = Counter(candidate.name for candidate in found)
    found = [c if names[c.name] == 1 else replace(c, name=str(c.path)) for c in found]
    twice = [name for name, count in Counter(c.name for c in found).items() if count > 1]
    if twice:
        raise InputError(f"bench: found {twice[0]} twice, accepted: each candidate once")
    return found


def _find(path: Path) -> Candidate:
    if path.is_file() and path.suffix == ".onnx":
        parent = path.resolve().parent.name
        return Candidate(f"{parent}/{path.name}", path, path, "encoder")
    if path.is_file() and path.suffix == ".nemo":
        return Candidate(path.name, path, path, "nemo")
    if path.is_dir():
        name = path.resolve().name
        if (path / SETTINGS_FILE).is_file():
            graph = StreamingSettings.load(path).contract.encoder.file
            return Candidate(name, path, path / graph, "artifact")
        if (path / exported.SETTINGS_FILE).is_file():
            return Candidate(name, path, path / exported.ENCODER, "exported")
        graphs = sorted(path.glob("*.onnx"))
        encoders = [graph for graph in graphs if "encoder" in graph.name] or graphs
        if len(encoders) == 1:
            return Candidate(name, path, encoders[0], "encoder")
        listed = ", ".join(graph.name for graph in encoders) or "no .onnx file"
        raise InputError(
            f"{path}: found {listed}; accepted: an artifact with {SETTINGS_FILE}, or one encoder. "
            "Name the encoder's file itself."
        )
    raise InputError(
        f"{path}: not found; accepted: an artifact directory, a directory with an ONNX encoder, an "
        ".onnx file, or a .nemo checkpoint"
    )


def _size(files: Sequence[Path]) -> int:
    return sum(file.stat().st_size for file in files)
