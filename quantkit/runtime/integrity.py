"""Whether the files of an artifact are what its manifest says, as far as the runtime reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quantkit.core import shapes
from quantkit.core.errors import InputError
from quantkit.core.integrity import FACTS, file_problem, seal_problem, size_problem
from quantkit.core.strict_json import read_json
from quantkit.runtime.settings import SETTINGS_FILE, StreamingSettings
from quantkit.runtime.tokens import TOKENS_FILE

MANIFEST = "manifest.json"
#: The shape of the manifest's list of files.
MANIFEST_FILES = shapes.mapping(shapes.file_name, FACTS, least=1, most=1000)
#: Far more than a manifest with a line for each tensor of the largest model.
_MOST_BYTES = 64 * 2**20
_SHAPE = shapes.record({"files": MANIFEST_FILES})


def read_manifest(directory: Path) -> Any:
    """The JSON of an artifact's manifest.

    Raises:
        InputError: it cannot be read, or is none.
    """
    path = directory / MANIFEST
    try:
        return read_json(path, _MOST_BYTES)
    except InputError as error:
        raise InputError(f"{error}; build the artifact again") from error


def check_artifact(directory: Path, *, everything: bool = False) -> None:
    """Compare graphs, settings and tokens with the digests in the manifest, data by its size.

    With `everything`, the digests of all files that the manifest lists. Otherwise a directory
    without a manifest is let through: it is a model that is no artifact yet.

    Raises:
        InputError: the manifest was edited or is none; or one line for each file that differs.
    """
    if not (directory / MANIFEST).is_file():
        if everything:
            raise InputError(
                f"{directory}: found no {MANIFEST} to compare its files with, accepted: an "
                "artifact as written by 'quantkit build'"
            )
        return
    manifest = read_manifest(directory)
    _SHAPE(manifest, str(directory / MANIFEST))
    if problem := seal_problem(manifest):
        raise InputError(f"{directory / MANIFEST}: {problem}; build the artifact again")
    listed = manifest["files"]
    graphs = _graphs(directory)
    # What the runtime reads at once, and what ONNX Runtime maps from the disk: all of the weight.
    read, mapped = [SETTINGS_FILE, TOKENS_FILE, *graphs], [f"{graph}.data" for graph in graphs]
    wrong = {
        name: f"is not in {MANIFEST}"
        for name in (*read, *mapped)
        if name not in listed and (directory / name).exists()
    }
    for name, facts in listed.items():
        if everything or name in read:
            problem = file_problem(directory / name, facts)
        else:
            problem = size_problem(directory / name, facts) if name in mapped else None
        if problem is not None:
            wrong[name] = problem
    if wrong:
        lines = [f"{directory / name}: {problem}" for name, problem in wrong.items()]
        raise InputError("\n".join([*lines, "copy the artifact again, or build it again"]))


def _graphs(directory: Path) -> list[str]:
    """The files of the graphs; none where streaming.json, which names them, cannot be read."""
    try:
        return [graph.file for graph in StreamingSettings.load(directory).contract.graphs]
    except InputError:  # its digest tells first, or whoever loads it
        return []
