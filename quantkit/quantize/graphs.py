"""The quantize stage: every graph of a model directory."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from quantkit.core.errors import InputError
from quantkit.core.files import write_json
from quantkit.core.progress import Progress
from quantkit.graph.files import load_model, save_model
from quantkit.quantize.inventory import (
    GraphReport,
    count_parameters,
    graph_report,
)
from quantkit.quantize.moments import InputMoments, Moments, load_moments, moments_of
from quantkit.quantize.schemes.equalize import equalize_norms
from quantkit.quantize.schemes.registry import quantize_matrix, store_matrix
from quantkit.quantize.schemes.tools import rewritten
from quantkit.quantize.settings import (
    BlockScheme,
    MatrixScheme,
    OliveSettings,
    OrtDynamicSettings,
    Scheme,
)
from quantkit.quantize.storage.matrices import (
    InfiniteError,
    Inputs,
    MatrixKey,
    WeightMatrix,
    find_matrices,
)
from quantkit.quantize.widths.budget import ALLOCATION
from quantkit.quantize.widths.mixed import resolve
from quantkit.quantize.widths.selection import select
from quantkit.quantize.widths.settings import MixedSettings

# Kernels multiply scales by codes, and zero points by sums of inputs, before they subtract.
_LARGEST = float(np.finfo(np.float32).max) / 2**16


def quantize_model(
    model: Path,
    calibration: Path | None,
    settings: Scheme,
    out: Path,
    progress: Progress,
    sensitivity: Path | None = None,
) -> None:
    """Write the quantized graphs, the model's other files and quantize.json into `out`.

    Args:
        model: directory with *.onnx graphs; each graph's tensors are named "graph/initializer".
        calibration: the calibration stage's directory, for schemes that need activations.
        settings: the scheme.
        out: existing directory.
        progress: told about each matrix.
        sensitivity: the sensitivity stage's directory, for a budget; what it was spent on goes
            into allocation.json.

    Raises:
        InputError: the directory has no graphs, a glob matches nothing, a weight is not finite, a
            budget is too small, or the scheme needs statistics that are not there.
    """
    paths = {path.stem: path for path in sorted(model.glob("*.onnx"))}
    if not paths:
        raise InputError(f"{model}: there is no .onnx graph in this directory")
    graphs = {name: load_model(path) for name, path in paths.items()}
    if isinstance(settings, MixedSettings):
        settings, allocation = resolve(settings, graphs, sensitivity)
        if allocation is not None:
            write_json(out / ALLOCATION, allocation)
    moments = _load(calibration, settings)
    reports = {}
    for name, graph, report in quantized(graphs, moments, settings, out, progress):
        save_model(graph, out / f"{name}.onnx")
        reports[name] = report
    for path in sorted(model.iterdir()):
        if path.is_file() and path.name not in {
            f"{name}.onnx{end}" for name in paths for end in ("", ".data")
        }:
            shutil.copyfile(path, out / path.name)
    write_json(out / "quantize.json", {"graphs": reports})


def quantized(
    graphs: Mapping[str, ir.Model],
    moments: Moments | None,
    settings: Scheme,
    folder: Path,
    progress: Progress,
) -> Iterator[tuple[str, ir.Model, GraphReport]]:
    """Quantize graphs by any kind of scheme; each is to be saved before the next one comes.

    Args:
        graphs: open models, which may be changed, by the name that their tensors are selected with.
        moments: of the inputs by "graph/tensor"; given if the settings need activations.
        settings: the scheme.
        folder: existing directory for what has to be on disk meanwhile.
        progress: told about each matrix.

    Yields:
        Name, quantized model and report of each graph.

    Raises:
        InputError: as quantize_model.
    """
    if isinstance(settings, OliveSettings | OrtDynamicSettings):
        yield from rewritten(graphs, settings, folder, progress)
    elif isinstance(settings, MatrixScheme):
        reports = quantize_graphs(graphs, moments, settings, progress)
        for name, report in reports.items():
            yield name, graphs[name], report


def quantize_graphs(
    graphs: Mapping[str, ir.Model],
    moments: Moments | None,
    settings: MatrixScheme,
    progress: Progress,
) -> dict[str, GraphReport]:
    """Quantize open models in place and report on each.

    Args:
        graphs: models by the name that their tensors are selected with.
        moments: of the inputs by "graph/tensor"; given if the settings need activations.
        settings: scheme, widths, exclusions and rules.
        progress: told about each matrix.

    Raises:
        InputError: as quantize_model.
    """
    by_graph = {name: find_matrices(graph) for name, graph in graphs.items()}
    names = [
        f"{graph}/{matrix.name}" for graph, matrices in by_graph.items() for matrix in matrices
    ]
    chosen = select(names, settings)
    reports = {}
    for graph, matrices in by_graph.items():
        blind = _unmeasured(graph, graphs[graph], matrices, moments)
        own = {
            matrix.key: _fitting(choice, matrix, blind)
            for matrix in matrices
            if (choice := chosen[f"{graph}/{matrix.name}"]) is not None
        }
        inputs = _inputs(graph, moments, settings, blind)
        if isinstance(settings, BlockScheme) and settings.equalize:
            inputs = equalize_norms(
                [matrix for matrix in matrices if matrix.key not in blind],
                {matrix.name: own[matrix.key] for matrix in matrices if matrix.key in own},
                inputs,
                progress,
            )
        now = find_matrices(graphs[graph])
        choices = [(matrix, own[matrix.key]) for matrix in now if matrix.key in own]
        report = quantize_matrices(graphs[graph], choices, inputs, progress, f"quantize {graph}")
        if unseen := [matrix.name for matrix, _ in choices if matrix.key in blind]:
            note = (
                "calibration does not see into Loop, If and Scan: quantized without it there: "
                f"{', '.join(map(repr, unseen))}"
            )
            report["notes"] = [*report.get("notes", []), note]
        reports[graph] = report
    return reports


def quantize_matrices(
    model: ir.Model,
    choices: Iterable[tuple[WeightMatrix, MatrixScheme]],
    inputs: Inputs,
    progress: Progress,
    what: str,
) -> GraphReport:
    """Replace matrices one at a time, so that one tensor is in memory as float32.

    Tables with infinities stay as they are, and matrices so large that no finite number is stored
    for one of their weights.

    Args:
        model: changed in place.
        choices: matrices of the model with the settings of each.
        inputs: tells the moments of a matrix's inputs.
        progress: told about each matrix.
        what: words beside the progress bar.
    """
    parameters = count_parameters(model)
    errors: dict[ir.Value, float] = {}
    notes: list[str] = []
    todo = list(choices)
    for matrix, settings in progress.track(todo, len(todo), what):
        try:
            weight = matrix.read()
        except InfiniteError:
            if matrix.use != "lookup":
                raise
            notes.append(f"table {matrix.name!r} has infinite values and stays float32")
            continue
        quantized = quantize_matrix(weight, settings, inputs(matrix))
        error = quantized.relative_error(weight)
        largest = max(float(weight.max()), -float(weight.min()))
        if largest > _LARGEST or not np.isfinite(error):
            notes.append(
                f"tensor {matrix.name!r} with weights up to {largest:.1e} stays float32: what "
                f"{settings.scheme} stores of it, or what the runtime adds up, is not finite"
            )
            continue
        errors[store_matrix(model, matrix, quantized, settings)] = error
    return graph_report(model, parameters, errors, notes)


def _fitting(
    choice: MatrixScheme, matrix: WeightMatrix, blind: frozenset[MatrixKey]
) -> MatrixScheme:
    if matrix.key in blind:
        choice = choice.blind()
    return choice.fitting(matrix.shape[0]) if matrix.use == "lookup" else choice


def _unmeasured(
    graph: str, model: ir.Model, matrices: Sequence[WeightMatrix], moments: Moments | None
) -> frozenset[MatrixKey]:
    """The matrices whose products lie in subgraphs alone, so that their inputs are not known."""
    return frozenset(
        matrix.key
        for matrix in matrices
        if moments is not None
        and matrix.use == "product"
        and f"{graph}/{matrix.measured_as}" not in moments
        and all(node.graph is not model.graph for node in matrix.nodes)
    )


def _inputs(
    graph: str, moments: Moments | None, settings: MatrixScheme, blind: frozenset[MatrixKey]
) -> Inputs:
    def inputs(matrix: WeightMatrix) -> InputMoments | None:
        if moments is None or matrix.key in blind:
            return None
        rows = matrix.shape[0]
        if matrix.use == "lookup":
            return InputMoments.uniform(rows)
        name = f"{graph}/{matrix.measured_as}"
        return moments_of(moments, name, rows, hessian=settings.needs_hessians)

    return inputs


def _load(calibration: Path | None, settings: Scheme) -> Moments | None:
    if not settings.needs_activations:
        return None
    if calibration is None:
        raise InputError(
            f"scheme {settings.scheme!r} needs activation statistics: name speech under calibrate, "
            "or choose one that needs none, such as kquant with importance: weight"
        )
    return load_moments(calibration)
