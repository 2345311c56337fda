"""The systems that are evaluated: graphs of ONNX, and the PyTorch model in several modes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from quantkit.core.files import sha256_file, sha256_json

Mode = Literal["streaming", "chunked", "offline"]

#: What decides the words that graphs say, and nothing else.
_DECIDING = (".onnx", ".onnx.data", "streaming.json", "tokens.txt")


def is_deciding(file: str) -> bool:
    """Whether a file of a model's directory decides what its graphs say."""
    return file.endswith(_DECIDING)


def model_digest(digests: Mapping[str, str]) -> str:
    """One SHA-256 over those of the deciding files: the same for the same graphs anywhere."""
    return sha256_json({name: digest for name, digest in digests.items() if is_deciding(name)})


@dataclass(frozen=True)
class NemoSystem:
    """The checkpoint in PyTorch, by NeMo's own inference.

    Attributes:
        name: of its row in reports, unique among the systems of one evaluation.
        checkpoint: the .nemo file.
        checkpoint_sha256: its digest.
        mode: streaming with caches, windows decoded on their own, or the whole utterance at once.
        chunk_ms: length of a chunk or window; None offline.
        full_context: offline with all of the utterance to the right, not with the model's own
            right context.
    """

    name: str
    checkpoint: Path
    checkpoint_sha256: str
    mode: Mode
    chunk_ms: int | None
    full_context: bool = False


@dataclass(frozen=True)
class GraphSystem:
    """A directory of ONNX graphs, streamed by quantkit's runtime.

    Attributes:
        name: of its row in reports, unique among the systems of one evaluation.
        model: the directory with graphs, streaming.json and tokens.txt.
        model_sha256: digest over the graphs, their weights, streaming.json and tokens.txt.
        reference: PyTorch streaming in chunks of the same length.
    """

    name: str
    model: Path
    model_sha256: str
    reference: NemoSystem

    @classmethod
    def of(cls, name: str, model: Path, reference: NemoSystem) -> GraphSystem:
        """The graphs in a directory, whose files are read for their digest."""
        files = (path.name for path in model.iterdir())
        digests = {name: sha256_file(model / name) for name in filter(is_deciding, files)}
        return cls(name, model, model_digest(digests), reference)


System = NemoSystem | GraphSystem
