"""What decides the records of a system, and the digest that names the directory of its results."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from quantkit.core.files import sha256_json
from quantkit.core.versions import code_digest, library_versions
from quantkit.evaluate.system import NemoSystem, System

_SCORING = ("numpy", "kaldialign", "whisper-normalizer")


def system_key(system: System) -> dict[str, Any]:
    """Everything that decides what a system says of an utterance, as plain data.

    Names and paths are left out: the same graphs under two names are evaluated once.

    Raises:
        MissingExtraError: a library that takes part is not installed.
    """
    if isinstance(system, NemoSystem):
        decides: dict[str, Any] = {
            "checkpoint": system.checkpoint_sha256,
            "mode": system.mode,
            "chunk_ms": system.chunk_ms,
            "full_context": system.full_context,
        }
    else:
        decides = {"graphs": system.model_sha256, "reference": system_key(system.reference)}
    return {**decides, "versions": dict(system_versions(system))}


def system_digest(system: System) -> str:
    """Hexadecimal SHA-256 of `system_key`."""
    return sha256_json(system_key(system))


def system_versions(system: System) -> Mapping[str, str]:
    """Digest of the code that a system runs through, and versions of the libraries.

    They are those that this process started with, whatever is installed meanwhile.

    Raises:
        MissingExtraError: a library is not installed.
    """
    return _nemo_versions() if isinstance(system, NemoSystem) else _graph_versions()


@cache
def _nemo_versions() -> Mapping[str, str]:
    code = code_digest("quantkit.evaluate.run_nemo")
    return {"quantkit": code, **library_versions([*_SCORING, "torch", "nemo_toolkit"])}


@cache
def _graph_versions() -> Mapping[str, str]:
    code = code_digest("quantkit.evaluate.run_graphs")
    return {"quantkit": code, **library_versions([*_SCORING, "onnxruntime"])}
