"""Schemes of other tools, which take whole graph files and hand back others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass

from quantkit.core.files import PARTIAL, scratch_directory
from quantkit.core.progress import Progress
from quantkit.graph.files import load_model, save_model
from quantkit.graph.names import make_names_unique, name_nodes
from quantkit.quantize.inventory import GraphReport, compare_graphs
from quantkit.quantize.schemes.olive import quantize_by_olive
from quantkit.quantize.schemes.ort_dynamic import kept_tensors, quantize_by_ort
from quantkit.quantize.settings import OliveSettings, OrtDynamicSettings, ToolScheme
from quantkit.quantize.storage.matrices import find_matrices

# With these, tools name what they put beside a value or a node.
_ENDS = (
    "_quantized", "_output_quantized", "_scale", "_zero_point", "_QuantizeLinear", "_quant",
    "_cast", "_cast_output", "_output_scale_mul", "_scales_mul", "_Q4", "_Q8",
)  # fmt: skip


def rewritten(
    graphs: Mapping[str, ir.Model], settings: ToolScheme, folder: Path, progress: Progress
) -> Iterator[tuple[str, ir.Model, GraphReport]]:
    """Quantize graphs by another tool and read off what it stored.

    Args:
        graphs: float32 models by name; their constants become initializers.
        settings: of the tool.
        folder: existing directory with room for the models twice.
        progress: told about each stored tensor.

    Yields:
        Name, quantized model and report of each graph. The weights of a model are on disk, and gone
        when the next one is asked for or the iterator is closed.

    Raises:
        InputError: a weight is not finite.
    """
    with scratch_directory(folder / f".rewritten{PARTIAL}") as scratch:
        source, out = scratch / "source", scratch / "out"
        out.mkdir()
        kept, ports = {}, {}
        for graph, model in graphs.items():
            kept[graph] = kept_tensors(model) if isinstance(settings, OrtDynamicSettings) else []
            ports[graph] = _ports(model)
            _copy(model, source / f"{graph}.onnx", {tensor.name for tensor in kept[graph]})
        copies = {graph: source / f"{graph}.onnx" for graph in graphs}
        for graph, path in _run(settings, copies, out).items():
            before, after = load_model(copies[graph]), load_model(path)
            _name_ports(after, ports[graph])
            report = compare_graphs(before, after, progress, f"quantized {graph}")
            if kept[graph]:
                report["notes"] = [
                    f"tensor {t.name!r} stays as it is: {t.why}" for t in kept[graph]
                ]
            yield graph, after, report


def _run(settings: ToolScheme, graphs: Mapping[str, Path], out: Path) -> dict[str, Path]:
    """Quantize graph files into an empty directory; the new ones by name."""
    match settings:
        case OliveSettings():
            return quantize_by_olive(graphs, settings, out)
        case OrtDynamicSettings():
            return quantize_by_ort(graphs, out)


def _copy(model: ir.Model, copy: Path, kept: set[str]) -> None:
    """Write a graph with its constants as initializers, if the matrices not kept are finite.

    Olive loses external data of Constant nodes and stores NaN as something; ONNX Runtime writes
    beside the file it reads.
    """
    for matrix in find_matrices(model):
        if matrix.name not in kept:
            matrix.read()
    LiftConstantsToInitializersPass()(model)
    name_nodes(model)
    _leave_room(model)
    make_names_unique(model)
    save_model(model, copy)


def _leave_room(model: ir.Model) -> None:
    """Rename what has the name of another thing with an end that tools add."""
    named: list[ir.Value | ir.Node] = [*model.graph.inputs, *model.graph.initializers.values()]
    for node in model.graph.all_nodes():
        named += [node, *node.outputs]
    names = {thing.name for thing in named}
    for thing in named:
        name = thing.name or ""
        if any(name.endswith(end) and name.removesuffix(end) in names for end in _ENDS):
            thing.name = f"{name}_"


def _ports(model: ir.Model) -> list[str | None]:
    """Names of a graph's inputs and outputs."""
    return [value.name for value in (*model.graph.inputs, *model.graph.outputs)]


def _name_ports(model: ir.Model, names: list[str | None]) -> None:
    """Give inputs and outputs back their names, some of which tools change."""
    ports = (*model.graph.inputs, *model.graph.outputs)
    for value, name in zip(ports, names, strict=True):
        if value.name != name:
            value.name = name
