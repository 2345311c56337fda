"""Layouts of an artifact that other runtimes load, side by side over one copy of its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from quantkit.bundle.card import model_card
from quantkit.bundle.gate import check_layout
from quantkit.bundle.genai import write_genai
from quantkit.bundle.guide import LAYOUTS, Layout, guide
from quantkit.bundle.manifest import MANIFEST, check_files, load_manifest, sealed
from quantkit.bundle.native import copy_file
from quantkit.bundle.sherpa import write_sherpa
from quantkit.core.errors import InputError
from quantkit.core.files import complete_directory, sha256_json, write_json, write_text
from quantkit.core.integrity import file_facts
from quantkit.core.targets import check_replaceable
from quantkit.runtime.settings import StreamingSettings

_WRITERS: dict[Layout, Callable[[Path, StreamingSettings, Path], None]] = {
    "genai": write_genai,
    "sherpa": write_sherpa,
}
_CARD = "README.md"


def bundle_artifact(artifact: Path, layouts: Sequence[Layout], out: Path) -> dict[str, Any]:
    """Write layouts of an artifact into `out`, which is complete or absent; returns its manifest.

    The graphs of other runtimes are small files over the artifact's own weights, which are copied
    once. Each layout is held to the numerical gate. `native` alone copies the artifact as it is.

    Raises:
        InputError: files differ from the manifest, or `out` is something else than a bundle.
        BundleError: a layout's graphs compute something else.
    """
    manifest = load_manifest(artifact)
    check_files(artifact, manifest)
    _check_out(artifact, out)
    settings = StreamingSettings.load(artifact)
    wanted = [layout for layout in LAYOUTS if layout in layouts]
    with complete_directory(out) as folder:
        for name in _copied(manifest, wanted):
            copy_file(artifact / name, folder / name)
        if wanted == ["native"]:
            copy_file(artifact / MANIFEST, folder / MANIFEST)
            return manifest
        errors: dict[str, float | None] = dict.fromkeys(wanted)
        for layout in wanted:
            if layout in _WRITERS:
                _WRITERS[layout](artifact, settings, folder)
                errors[layout] = check_layout(artifact, folder, layout, settings)
        # Another directory than the artifact, also to a build that finds it in its place.
        manifest["key"] = sha256_json([manifest["key"], wanted])
        manifest["layouts"] = {
            layout: {"max_relative_error": error} for layout, error in errors.items()
        }
        write_text(folder / _CARD, model_card(manifest, usage=guide(wanted, settings)))
        manifest["files"] = {path.name: file_facts(path) for path in sorted(folder.iterdir())}
        manifest["total_bytes"] = sum(file["bytes"] for file in manifest["files"].values())
        manifest = sealed(manifest)
        write_json(folder / MANIFEST, manifest)
    return manifest


def _copied(manifest: dict[str, Any], layouts: Sequence[Layout]) -> list[str]:
    """Files of the artifact that the layouts take as they are."""
    names = list(manifest["files"])
    if "native" in layouts:
        return names if len(layouts) == 1 else [name for name in names if name != _CARD]
    weights = [name for name in names if name.endswith(".onnx.data")]
    return [*weights, "tokens.txt"] if "sherpa" in layouts else weights


def _check_out(artifact: Path, out: Path) -> None:
    if out.resolve() == artifact.resolve():
        raise InputError(f"--out: found the artifact {artifact} itself; give another directory")
    check_replaceable("--out", out, MANIFEST, "bundle")
