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
from quantkit.graph import gate
from quantkit.graph.domains import MICROSOFT
from quantkit.graph.files import EXTERNAL_BYTES, save_model
from quantkit.graph.rewrites.attention import fuse_attention
from quantkit.graph.rewrites.causal_convolution import fuse_causal_convolutions
from quantkit.graph.rewrites.constant_folding import fold_constants
from quantkit.graph.rewrites.packed_projection import pack_projections
from quantkit.graph.rewrites.pointwise_convolution import convert_pointwise_convolutions
from quantkit.graph.rewrites.residual_scale import fold_residual_scales
from quantkit.graph.rewrites.shape_arithmetic import drop_shape_arithmetic
from quantkit.graph.rewrites.silu import fuse_silu
from quantkit.graph.rewrites.split_heads import split_into_heads
from quantkit.graph.rewrites.transposes import cancel_transposes
from quantkit.graph.rewrites.weight_transposes import fold_weight_transposes
from quantkit.runtime.settings import StreamingSettings

Rewrite = Callable[[ir.Model], int]

# In this order: each prepares what the next one looks for.
REWRITES: tuple[tuple[str, Rewrite], ...] = (
    ("weight transposes", fold_weight_transposes),
    ("constant folding", fold_constants),
    ("dead shape arithmetic", drop_shape_arithmetic),
    ("pointwise convolution to MatMul", convert_pointwise_convolutions),
    ("transpose pairs", cancel_transposes),
    ("packed projections", pack_projections),
    ("heads", split_into_heads),
    ("attention", fuse_attention),
    ("causal convolution", fuse_causal_convolutions),
    ("SiLU", fuse_silu),
    ("residual scale", fold_residual_scales),
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
    graphs = StreamingSettings.load(model).contract.graphs
    count = len(graphs) * len(REWRITES)
    steps = progress.track(range(count), count, "fuse")
    for graph in graphs:
        with tempfile.TemporaryDirectory(dir=out, prefix=".fuse-") as scratch:
            current = model / graph.file
            reference = gate.streamed_outputs(current, graph)
            for rewrite_name, rewrite in REWRITES:
                index = next(steps)
                rewritten = Path(scratch) / f"{index}.onnx"
                entry: dict[str, Any] = {"graph": graph.name, "name": rewrite_name}
                entry["matches"] = apply(rewrite, current, rewritten)
                if entry["matches"]:
                    outputs = gate.streamed_outputs(rewritten, graph)
                    entry["max_relative_error"] = gate.check(rewrite_name, reference, outputs)
                    current = rewritten
                report.append(entry)
            save_model(ir.load(current), out / graph.file)
    next(steps, None)
    write_json(out / "fuse.json", {"rewrites": report})


def apply(rewrite: Rewrite, source: Path, target: Path) -> int:
    """Apply one rewrite to an ONNX file and write the result if it matched.

    Weights are written to `target` + ".data", but those that the rewrite left alone stay in the
    files of `source` if these are in the same directory.
    """
    model = ir.load(source)
    matches = rewrite(model)
    if not matches:
        return 0
    IdentityEliminationPass()(model)
    RemoveUnusedNodesPass()(model)
    RemoveUnusedOpsetsPass()(model)
    if any(node.domain == MICROSOFT for node in model.graph):
        model.opset_imports[MICROSOFT] = 1
    beside = source.parent == target.parent
    changed = [
        value
        for value in model.graph.initializers.values()
        if value.const_value is not None
        and not (beside and isinstance(value.const_value, ir.ExternalTensor))
        and value.const_value.nbytes >= EXTERNAL_BYTES
    ]
    written = ir.external_data.convert_tensors_to_external(
        [value.const_value for value in changed if value.const_value is not None],
        target.parent,
        f"{target.name}.data",
    )
    for value, tensor in zip(changed, written, strict=True):
        value.const_value = tensor
    ir.save(model, target)
    return matches
