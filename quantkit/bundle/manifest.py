"""The artifact's manifest: its shape, reading it, and checking the files that it lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from quantkit.core import shapes
from quantkit.core.errors import InputError
from quantkit.core.files import sha256_file
from quantkit.core.integrity import file_problem, seal_problem, sealed
from quantkit.runtime.integrity import MANIFEST, MANIFEST_FILES, read_manifest

__all__ = [
    "MANIFEST",
    "SCHEMA",
    "check_files",
    "check_seal",
    "file_problems",
    "load_manifest",
    "seal_problem",
    "sealed",
    "weights_and_bits",
]

SCHEMA = 1

_COUNT, _MEASURED = shapes.integer(), shapes.number(0.0, 1e300)
_TENSOR = shapes.record(
    {
        "name": shapes.text,
        "shape": shapes.array(_COUNT, 16),
        "bits": shapes.number(0, 64),
        "block_size": shapes.optional(_COUNT),
        "bytes": _COUNT,
        "relative_error": shapes.optional(_MEASURED),
    }
)
_GRAPH = shapes.record(
    {
        "parameters": _COUNT,
        "bits_per_weight": shapes.number(0, 64),
        "tensors": shapes.array(_TENSOR, 100_000),
    },
    {"notes": shapes.array(shapes.text, 100_000)},
)
_PARITY = shapes.record(
    {
        "utterances": _COUNT,
        "token_exact_utterances": _COUNT,
        "reference_tokens": _COUNT,
        "token_errors": _COUNT,
        "near_tie_errors": _COUNT,
        "encoder_max_abs_error": shapes.optional(_MEASURED),
    },
    {
        "reference": shapes.text,
        "candidate": shapes.text,
        "kl": shapes.optional(shapes.record({"mean": _MEASURED})),
        "wer": shapes.optional(shapes.record({"reference": _MEASURED, "candidate": _MEASURED})),
    },
)
_MANIFEST = shapes.record(
    {
        # All of it is checked where it is used: `quantkit.recipe` needs more than the runtime.
        "recipe": shapes.record({"name": shapes.text}, {"model": shapes.record({})}),
        "source": shapes.record(
            {
                "name": shapes.text,
                "revision": shapes.optional(shapes.text),
                "sha256": shapes.sha256,
            }
        ),
        "versions": shapes.mapping(shapes.text, shapes.text),
        "files": MANIFEST_FILES,
        "total_bytes": _COUNT,
        "graphs": shapes.mapping(shapes.text, _GRAPH, least=1, most=100),
        "latency": shapes.record(
            {"algorithmic_s": _MEASURED, "chunk_s": _MEASURED, "definition": shapes.text}
        ),
        "parity": _PARITY,
        "key": shapes.sha256,
    },
    {
        "layouts": shapes.mapping(
            shapes.text,
            shapes.record({"max_relative_error": shapes.optional(_MEASURED)}),
            most=100,
        ),
        "forced": shapes.array(shapes.text, 1000),
    },
)
_VERSIONS = shapes.record({"quantkit": shapes.text})


def load_manifest(artifact: Path) -> dict[str, Any]:
    """The manifest of an artifact directory.

    Raises:
        InputError: no artifact there, or a manifest that this version cannot read; the key.
    """
    path = artifact / MANIFEST
    if not path.is_file():
        raise InputError(
            f"{artifact}: found no {MANIFEST}, accepted: an artifact directory, as "
            "`quantkit build` writes it"
        )
    manifest = read_manifest(artifact)
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema != SCHEMA or isinstance(schema, bool):
        raise shapes.unfit(schema, f"{path}: schema", str(SCHEMA))
    try:
        _MANIFEST(manifest, str(path))
        _VERSIONS(manifest["versions"], f"{path}: versions")
        total = sum(facts["bytes"] for facts in manifest["files"].values())
        if manifest["total_bytes"] != total:
            accepted = f"{total}, the sum of its files"
            raise shapes.unfit(manifest["total_bytes"], f"{path}: total_bytes", accepted)
    except InputError as error:
        raise InputError(f"{error}; build the artifact again") from error
    return dict(manifest)


def weights_and_bits(manifest: Mapping[str, Any]) -> tuple[int, float]:
    """Weights of all graphs of an artifact, and the bits that are stored for each on average."""
    graphs = manifest["graphs"].values()
    weights = sum(graph["parameters"] for graph in graphs)
    bits = sum(graph["parameters"] * graph["bits_per_weight"] for graph in graphs)
    return weights, bits / max(weights, 1)


def check_seal(where: str, manifest: Mapping[str, Any]) -> None:
    """Refuse a manifest that is not as it was written.

    Raises:
        InputError: it was edited, or written by a version that gave it no digest.
    """
    if problem := seal_problem(manifest):
        raise InputError(f"{where}: {MANIFEST} {problem}; build the artifact again")


def check_files(artifact: Path, manifest: Mapping[str, Any]) -> None:
    """Compare the manifest with its own digest, and every file's size and digest with it.

    Raises:
        InputError: the manifest was edited; or one line for each file that is missing or differs.
    """
    check_seal(str(artifact), manifest)
    wrong = file_problems(artifact, manifest)
    if wrong:
        lines = [f"{artifact / name}: {problem}" for name, problem in wrong.items()]
        raise InputError("\n".join([*lines, "copy the artifact again, or build it again"]))


def file_problems(
    artifact: Path, manifest: Mapping[str, Any], digest_of: Callable[[Path], str] = sha256_file
) -> dict[str, str]:
    """By name, what is wrong with the files that are missing or differ from the manifest."""
    found = {
        name: file_problem(artifact / name, facts, digest_of)
        for name, facts in manifest["files"].items()
    }
    return {name: problem for name, problem in found.items() if problem is not None}
