"""The artifact's manifest: its seal, reading it, and checking the files that it lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantkit.core.errors import InputError
from quantkit.core.files import sha256_file, sha256_json

MANIFEST = "manifest.json"
SCHEMA = 1
SEAL = "digest"
_KEYS = ("recipe", "source", "versions", "files", "total_bytes", "graphs", "latency", "parity")


def load_manifest(artifact: Path) -> dict[str, Any]:
    """The manifest of an artifact directory.

    Raises:
        InputError: no artifact there, or a manifest that this version cannot read.
    """
    path = artifact / MANIFEST
    if not path.is_file():
        raise InputError(
            f"{artifact}: found no {MANIFEST}, accepted: an artifact directory, as "
            "`quantkit build` writes it"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: is not JSON ({error}); build the artifact again") from error
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema != SCHEMA:
        raise InputError(f"{path}: schema: found {schema!r}, accepted: {SCHEMA}")
    missing = [key for key in _KEYS if key not in manifest]
    if missing:
        raise InputError(f"{path}: missing {', '.join(missing)}; build the artifact again")
    if odd := [name for name in manifest["files"] if Path(name).name != name]:
        raise InputError(f"{path}: files: found {odd[0]!r}, accepted: names without a folder")
    return dict(manifest)


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with `digest`, the SHA-256 of the canonical JSON of all its other keys.

    It shows that somebody edited the manifest by hand; it is no signature.
    """
    content = {key: value for key, value in manifest.items() if key != SEAL}
    return content | {SEAL: sha256_json(content)}


def seal_problem(manifest: Mapping[str, Any]) -> str | None:
    """What is wrong with a manifest's own digest; None if it is right."""
    if SEAL not in manifest:
        return "has no digest of its own, because an older version wrote it"
    if sealed(manifest)[SEAL] != manifest[SEAL]:
        return "was edited after it was written"
    return None


def weights_and_bits(manifest: Mapping[str, Any]) -> tuple[int, float]:
    """Weights of all graphs of an artifact, and the bits that are stored for each on average."""
    graphs = manifest["graphs"].values()
    weights = sum(graph["parameters"] for graph in graphs)
    bits = sum(graph["parameters"] * graph["bits_per_weight"] for graph in graphs)
    return weights, bits / max(weights, 1)


def check_files(artifact: Path, manifest: Mapping[str, Any]) -> None:
    """Compare every file's size and digest with the manifest.

    Raises:
        InputError: one line for each file that is missing or differs.
    """
    wrong = file_problems(artifact, manifest)
    if wrong:
        lines = [f"{artifact / name}: {problem}" for name, problem in wrong.items()]
        raise InputError("\n".join([*lines, "copy the artifact again, or build it again"]))


def file_problems(artifact: Path, manifest: Mapping[str, Any]) -> dict[str, str]:
    """By name, what is wrong with the files that are missing or differ from the manifest."""
    found = {name: _problem(artifact / name, facts) for name, facts in manifest["files"].items()}
    return {name: problem for name, problem in found.items() if problem is not None}


def _problem(path: Path, facts: Mapping[str, Any]) -> str | None:
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size != facts["bytes"]:
        return f"found {size} bytes, the manifest says {facts['bytes']}"
    digest = sha256_file(path)
    if digest != facts["sha256"]:
        return f"found sha256 {digest[:12]}, the manifest says {facts['sha256'][:12]}"
    return None
