"""The artifact's manifest: reading it, and checking the files that it lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantkit.core.errors import InputError
from quantkit.core.files import sha256_file

MANIFEST = "manifest.json"
SCHEMA = 1
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
    return dict(manifest)


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
    wrong = [
        f"{artifact / name}: {problem}"
        for name, facts in manifest["files"].items()
        if (problem := _problem(artifact / name, facts))
    ]
    if wrong:
        raise InputError("\n".join([*wrong, "copy the artifact again, or build it again"]))


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
