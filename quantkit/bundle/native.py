"""The native layout: the artifact directory that `quantkit transcribe` runs."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from quantkit.bundle.card import model_card
from quantkit.bundle.manifest import MANIFEST, SCHEMA, sealed
from quantkit.core.errors import InputError
from quantkit.core.files import write_json, write_text
from quantkit.core.integrity import file_facts
from quantkit.core.strict_json import read_json
from quantkit.graph.files import load_model
from quantkit.quantize.inventory import GraphReport, graph_report
from quantkit.runtime.sessions import GraphName

GRAPHS = get_args(GraphName)
_BESIDE = ("streaming.json", "tokenizer.model", "tokens.txt")


@dataclass(frozen=True)
class Facts:
    """What the manifest says besides the files.

    `source` has name, revision and sha256; `parity` is the content of parity.json; `graphs` the
    one of quantize.json, or None for an unquantized model; `key` is the digest of all that decides
    the artifact's bytes.
    """

    recipe: Mapping[str, Any]
    source: Mapping[str, Any]
    versions: Mapping[str, str]
    parity: Mapping[str, Any]
    graphs: Mapping[str, Any] | None
    key: str


def bundle_native(
    model: Path, out: Path, facts: Facts, digests: Mapping[str, str] | None = None
) -> None:
    """Write graphs, tokenizer, settings, model card and, last, the manifest into `out`.

    Files are copied, by reference where the file system can: the onnx loader refuses external
    data with several hard links.

    Raises:
        InputError: a file of the model is missing, or its copy differs from `digests`.
    """
    names = [name for graph in GRAPHS for name in (f"{graph}.onnx", f"{graph}.onnx.data")]
    required = [*(f"{graph}.onnx" for graph in GRAPHS), *_BESIDE]
    missing = [name for name in required if not (model / name).is_file()]
    if missing:
        raise InputError(f"{model}: not a model directory: {', '.join(missing)} missing")
    for name in [*names, *_BESIDE]:
        if (model / name).is_file():
            copy_file(model / name, out / name)
    files = {path.name: file_facts(path) for path in sorted(out.iterdir())}
    for name, digest in (digests or {}).items():
        if name in files and files[name]["sha256"] != digest:
            raise InputError(
                f"{model / name}: its content is not what the store wrote; the disk or somebody "
                "changed it. Run the build with --force"
            )
    manifest = _manifest(model, facts)
    write_text(out / "README.md", model_card(manifest))
    files["README.md"] = file_facts(out / "README.md")
    total = sum(file["bytes"] for file in files.values())
    write_json(out / MANIFEST, sealed(manifest | {"files": files, "total_bytes": total}))


def float_graphs(model: Path) -> dict[str, GraphReport]:
    """What each graph of an unquantized model directory holds, as quantize.json says it."""
    return {name: graph_report(load_model(model / f"{name}.onnx")) for name in GRAPHS}


def copy_file(source: Path, target: Path) -> None:
    """Copy bytes, sharing blocks on file systems that can."""
    with source.open("rb") as reader, target.open("wb") as writer:
        if hasattr(os, "copy_file_range"):
            _share(reader.fileno(), writer.fileno())
        shutil.copyfileobj(reader, writer)


def _share(reader: int, writer: int) -> None:
    """Copy what the kernel copies by itself; the caller copies the rest."""
    try:
        while os.copy_file_range(reader, writer, 2**30):
            pass
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}:
            raise


def _manifest(model: Path, facts: Facts) -> dict[str, Any]:
    streaming = read_json(model / "streaming.json")
    return {
        "schema": SCHEMA,
        "key": facts.key,
        "recipe": dict(facts.recipe),
        "source": dict(facts.source),
        "versions": dict(facts.versions),
        "graphs": float_graphs(model) if facts.graphs is None else dict(facts.graphs),
        "latency": {
            "algorithmic_s": streaming["algorithmic_latency_s"],
            "chunk_s": streaming["chunk_s"],
            "definition": streaming["latency_definition"],
        },
        "parity": dict(facts.parity),
    }
