"""The fuse stage: every rewrite in turn, over every graph, each held to the gate."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx_ir as ir
from onnx_ir.passes.common import (
    IdentityEliminationPass,
    RemoveUnusedNodesPass,
    RemoveUnusedOpsetsPass,
)

from quantkit.core.files import write_json
from quantkit.core.progress import Progress
from quantkit.fuse import gate
from quantkit.fuse.constants import fold_constants
from quantkit.fuse.domains import MICROSOFT
from quantkit.fuse.packed_projection import pack_projections
from quantkit.fuse.pointwise_convolution import convert_pointwise_convolutions
from quantkit.fuse.residual_scale import fold_residual_scales
from quantkit.fuse.shape_arithmetic import drop_shape_arithmetic
from quantkit.fuse.silu import fuse_silu
from quantkit.fuse.skip_layer_norm import fuse_skip_layer_norms
from quantkit.fuse.transposes import cancel_transposes
from quantkit.fuse.weight_transposes import fold_weight_transposes

GRAPHS = ("encoder", "predictor", "joint")

Rewrite = Callable[[ir.Model], int]

# In this order: each prepares what the next one looks for.
REWRITES: tuple[tuple[str, Rewrite], ...] = (
    ("weight transposes", fold_weight_transposes),
    ("dead shape arithmetic", drop_shape_arithmetic),
    ("constant folding", fold_constants),
    ("pointwise convolution to MatMul", convert_pointwise_convolutions),
    ("transpose pairs", cancel_transposes),
    ("packed projections", pack_projections),
    ("SiLU", fuse_silu),
    ("residual scale", fold_residual_scales),
    ("skip layer norm", fuse_skip_layer_norms),
)


def fuse_model(model: Path, out: Path, progress: Progress) -> None:
    """Rewrite the three graphs of an exported model into `out`, with a fuse.json of what was done.

    Raises:
        gate.FusionError: a rewrite changed the numbers beyond float rounding.
    """
    report: list[dict[str, Any]] = []
    for path in sorted(model.iterdir()):
        if ".onnx" not in path.name:
            shutil.copyfile(path, out / path.name)
    work = [(graph, *rewrite) for graph in GRAPHS for rewrite in REWRITES]
    current: dict[str, Path] = {graph: model / f"{graph}.onnx" for graph in GRAPHS}
    reference: dict[str, gate.Outputs] = {}
    with tempfile.TemporaryDirectory(dir=out, prefix=".fuse-") as scratch:
        for index, (graph, name, rewrite) in enumerate(
            progress.track(work, len(work), "fuse")
        ):
            if graph not in reference:
                reference[graph] = gate.streamed_outputs(current[graph])
            rewritten = Path(scratch) / str(index) / f"{graph}.onnx"
            matches = apply(rewrite, current[graph], rewritten)
            entry = {"graph": graph, "name": name, "matches": matches}
            if matches:
                outputs = gate.streamed_outputs(rewritten)
                entry["max_relative_error"] = gate.check(name, reference[graph], outputs)
                if current[graph].is_relative_to(scratch):
                    shutil.rmtree(current[graph].parent)
                current[graph] = rewritten
            report.append(entry)
        for graph, path in current.items():
            for part in (path, path.with_name(f"{path.name}.data")):
                if part.exists():
                    shutil.copyfile(part, out / part.name)
                    if part.is_relative_to(scratch):
                        part.unlink()
    write_json(out / "fuse.json", {"rewrites": report})


def apply(rewrite: Rewrite, source: Path, target: Path) -> int:
    """Apply one rewrite to an ONNX file and write the result if anything matched."""
    graph = ir.load(source)
    matches = rewrite(graph)
    if matches:
        IdentityEliminationPass()(graph)
        RemoveUnusedNodesPass()(graph)
        RemoveUnusedOpsetsPass()(graph)
        if any(node.domain == MICROSOFT for node in graph.graph):
            graph.opset_imports[MICROSOFT] = 1
        target.parent.mkdir(parents=True)
        ir.save(graph, target, external_data=f"{target.name}.data", size_threshold_bytes=1024)
    return matches
