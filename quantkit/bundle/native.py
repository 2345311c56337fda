"""The native layout: the artifact directory that `quantkit transcribe` runs."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from quantkit.bundle.card import model_card
from quantkit.bundle.manifest import MANIFEST, SCHEMA, sealed
from quantkit.core.errors import InputError
from quantkit.core.files import write_json, write_text
from quantkit.core.integrity import file_facts
from quantkit.graph.files import load_model
from quantkit.quantize.inventory import GraphReport, graph_report
from quantkit.runtime.settings import SETTINGS_FILE, StreamingSettings
from quantkit.runtime.tokens import TOKENS_FILE

_BESIDE = (SETTINGS_FILE, "tokenizer.model", TOKENS_FILE)


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
    _check_complete(model, _BESIDE)
    settings = StreamingSettings.load(model)
    graphs = [graph.file for graph in settings.contract.graphs]
    _check_complete(model, graphs)
    for name in [*graphs, *(f"{graph}.data" for graph in graphs), *_BESIDE]:
        if (model / name).is_file():
            copy_file(model / name, out / name)
    files = {path.name: file_facts(path) for path in sorted(out.iterdir())}
    for name, digest in (digests or {}).items():
        if name in files and files[name]["sha256"] != digest:
            raise InputError(
                f"{model / name}: its content is not what the store wrote; the disk or somebody "
                "changed it. Run the build with --force"
            )
    manifest = _manifest(model, settings, facts)
    write_text(out / "README.md", model_card(manifest))
    files["README.md"] = file_facts(out / "README.md")
    total = sum(file["bytes"] for file in files.values())
    write_json(out / MANIFEST, sealed(manifest | {"files": files, "total_bytes": total}))


def float_graphs(model: Path, settings: StreamingSettings) -> dict[str, GraphReport]:
    """What each graph of an unquantized model directory holds, as quantize.json says it."""
    graphs = settings.contract.graphs
    return {graph.name: graph_report(load_model(model / graph.file)) for graph in graphs}


def _check_complete(model: Path, names: Sequence[str]) -> None:
    missing = [name for name in names if not (model / name).is_file()]
    if missing:
        raise InputError(f"{model}: not a model directory: {', '.join(missing)} missing")


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


def _manifest(model: Path, settings: StreamingSettings, facts: Facts) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "key": facts.key,
        "recipe": dict(facts.recipe),
        "source": dict(facts.source),
        "versions": dict(facts.versions),
        "graphs": float_graphs(model, settings) if facts.graphs is None else dict(facts.graphs),
        "latency": {
            "algorithmic_s": settings.algorithmic_latency_s,
            "chunk_s": settings.chunk_s,
            "definition": settings.latency_definition,
        },
        "parity": dict(facts.parity),
    }


def inventory(model: Path, settings: StreamingSettings) -> dict[str, Any]:
    """Parameters, bits per weight and matrices of graphs, as quantize.json has quantized ones."""
    graphs = settings.contract.graphs
    return {graph.name: _count(ir.load(model / graph.file)) for graph in graphs}


def _count(model: ir.Model) -> dict[str, Any]:
    floats = [
        value
        for initializer in model.graph.initializers.values()
        if (value := initializer.const_value) is not None and value.dtype.is_floating_point()
    ]
    parameters = sum(tensor.size for tensor in floats)
    bits = sum(tensor.nbytes for tensor in floats) * 8
    return {
        "parameters": parameters,
        "bits_per_weight": bits / parameters if parameters else 0.0,
        "tensors": [
            {
                "name": tensor.name,
                "shape": list(tensor.shape.numpy()),
                "bits": tensor.dtype.itemsize * 8,
                "block_size": None,
                "bytes": tensor.nbytes,
                "relative_error": 0.0,
            }
            for tensor in floats
            if len(tensor.shape) > 1
        ],
    }
