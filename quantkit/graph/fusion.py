"""The fuse stage: every rewrite in turn, over every graph, each held to the gate."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import onnx_ir as ir
from onnx_ir.passes.common import (
    IdentityEliminationPass,
    RemoveUnusedNodesPass,
    RemoveUnusedOpsetsPass,
)

from quantkit.core.files import PARTIAL, scratch_directory, write_json
from quantkit.core.progress import Progress
from quantkit.graph import gate
from quantkit.graph.files import EXTERNAL_BYTES, save_model
from quantkit.graph.folding import drop_shape_arithmetic, fold_constants
from quantkit.graph.names import MICROSOFT
from quantkit.graph.product_forms import cancel_transposes, fold_weight_transposes
from quantkit.graph.rewrite import Rewrite, Sizes, any_number
from quantkit.graph.rewrites.attention import ATTENTION
from quantkit.graph.rewrites.causal_convolution import CAUSAL_CONVOLUTION
from quantkit.graph.rewrites.packed_projection import PACKED_PROJECTION
from quantkit.graph.rewrites.pointwise_convolution import POINTWISE_CONVOLUTION
from quantkit.graph.rewrites.residual_scale import RESIDUAL_SCALE
from quantkit.graph.rewrites.silu import SILU
from quantkit.graph.rewrites.split_heads import SPLIT_HEADS
from quantkit.runtime.settings import StreamingSettings

# In this order: each prepares what the next one looks for.
REWRITES: tuple[Rewrite, ...] = (
    Rewrite(
        "weight transposes",
        fold_weight_transposes,
        # Query, key, value and output of attention, two in each feed-forward module.
        lambda sizes: 8 * sizes.layers + sizes.linears,
    ),
    Rewrite("constant folding", fold_constants, any_number),
    Rewrite("dead shape arithmetic", drop_shape_arithmetic, any_number),
    POINTWISE_CONVOLUTION,
    # Those beside a layer's two pointwise convolutions meet those around its module.
    Rewrite("transpose pairs", cancel_transposes, lambda sizes: 4 * sizes.layers),
    PACKED_PROJECTION,
    SPLIT_HEADS,
    ATTENTION,
    CAUSAL_CONVOLUTION,
    SILU,
    RESIDUAL_SCALE,
)


def fuse_model(model: Path, out: Path, progress: Progress) -> None:
    """Rewrite the three graphs of an exported model into `out`, with a fuse.json of what was done.

    Raises:
        MatchError: a rewrite matched another number of places than the model's sizes imply.
        gate.FusionError: a rewrite changed the numbers beyond float rounding.
    """
    report: list[dict[str, Any]] = []
    for path in sorted(model.iterdir()):
        if ".onnx" not in path.name:
            shutil.copyfile(path, out / path.name)
    settings = StreamingSettings.load(model)
    contract = settings.contract
    count = len(contract.graphs) * len(REWRITES)
    steps = progress.track(range(count), count, "fuse")
    for graph in contract.graphs:
        with scratch_directory(out / f".{graph.name}{PARTIAL}") as scratch:
            current = model / graph.file
            constants = ir.load(current).graph.initializers
            biased = any(key.endswith(".linear_q.bias") for key in constants)
            # Linear modules outside of the layers: the stem's, and the joint's three.
            linears = {contract.encoder: 1, contract.joint: 3}.get(graph, 0)
            layers = settings.encoder.layers if graph is contract.encoder else 0
            sizes = Sizes(graph.name, layers, linears, biased)
            reference = gate.streamed_outputs(current, graph)
            for rewrite in REWRITES:
                rewritten = scratch / f"{next(steps)}.onnx"
                entry: dict[str, Any] = {"graph": graph.name, "name": rewrite.name}
                entry["matches"] = apply(rewrite, sizes, current, rewritten)
                if entry["matches"]:
                    outputs = gate.streamed_outputs(rewritten, graph)
                    entry["max_relative_error"] = gate.check(rewrite.name, reference, outputs)
                    current = rewritten
                report.append(entry)
            save_model(ir.load(current), out / graph.file)
    next(steps, None)
    write_json(out / "fuse.json", {"rewrites": report})


def apply(rewrite: Rewrite, sizes: Sizes, source: Path, target: Path) -> int:
    """Apply one rewrite to an ONNX file and write the result if it matched.

    Weights are written to `target` + ".data", but those that the rewrite left alone stay in the
    files of `source` if these are in the same directory.
    """
    model = ir.load(source)
    matches = rewrite(model, sizes)
    if not matches:
        return 0
    IdentityEliminationPass()(model)
    RemoveUnusedNodesPass()(model)
    RemoveUnusedOpsetsPass()(model)
    if any(node.domain == MICROSOFT for node in model.graph):
        model.opset_imports[MICROSOFT] = 1
    beside = source.parent == target.parent
    changed = {
        value: tensor
        for value in model.graph.initializers.values()
        if (tensor := value.const_value) is not None
        and not (beside and isinstance(tensor, ir.ExternalTensor))
        and tensor.nbytes >= EXTERNAL_BYTES
    }
    written = ir.external_data.convert_tensors_to_external(
        list(changed.values()), target.parent, f"{target.name}.data"
    )
    for value, tensor in zip(changed, written, strict=True):
        value.const_value = tensor
    ir.save(model, target)
    return matches
