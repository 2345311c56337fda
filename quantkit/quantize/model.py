"""The quantize stage: every graph of a model directory."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantkit.core.errors import InputError
from quantkit.core.files import write_json
from quantkit.core.progress import Progress
from quantkit.graph.files import load_model, save_model
from quantkit.quantize.importance import importance_of, load_importance
from quantkit.quantize.matrices import WeightMatrix, find_matrices
from quantkit.quantize.options import SchemeSettings
from quantkit.quantize.selection import select
from quantkit.quantize.tensors import GraphReport, quantize_matrices


def quantize_model(
    model: Path,
    importance: Path | None,
    settings: SchemeSettings,
    out: Path,
    progress: Progress,
) -> None:
    """Write the quantized graphs, the model's other files and quantize.json into `out`.

    Args:
        model: directory with *.onnx graphs; each graph's tensors are named "graph/initializer".
        importance: the calibration stage's .npz, for schemes that need activations.
        settings: scheme, widths, exclusions and rules.
        out: existing directory.
        progress: told about each matrix.

    Raises:
        InputError: the directory has no graphs, a glob matches nothing, a weight is not finite, or
            the scheme needs activation statistics that are not there.
    """
    paths = {path.stem: path for path in sorted(model.glob("*.onnx"))}
    if not paths:
        raise InputError(f"{model}: there is no .onnx graph in this directory")
    graphs = {name: load_model(path) for name, path in paths.items()}
    reports = quantize_graphs(graphs, _load(importance, settings), settings, progress)
    for name, graph in graphs.items():
        save_model(graph, out / f"{name}.onnx")
    for path in sorted(model.iterdir()):
        if path.is_file() and path.name not in {
            f"{name}.onnx{end}" for name in paths for end in ("", ".data")
        }:
            shutil.copyfile(path, out / path.name)
    write_json(out / "quantize.json", {"graphs": reports})


def quantize_graphs(
    graphs: Mapping[str, ir.Model],
    statistics: Mapping[str, NDArray[np.float64]] | None,
    settings: SchemeSettings,
    progress: Progress,
) -> dict[str, GraphReport]:
    """Quantize open models in place and report on each.

    Args:
        graphs: models by the name that their tensors are selected with.
        statistics: mean squared inputs by "graph/tensor"; given if the settings need activations.
        settings: scheme, widths, exclusions and rules.
        progress: told about each matrix.

    Raises:
        InputError: as quantize_model.
    """
    matrices = {name: find_matrices(graph) for name, graph in graphs.items()}
    names = [f"{graph}/{matrix.name}" for graph, found in matrices.items() for matrix in found]
    chosen = select(names, settings)
    reports = {}
    for graph, found in matrices.items():

        def activations(matrix: WeightMatrix, graph: str = graph) -> NDArray[np.float64] | None:
            if statistics is None:
                return None
            return importance_of(statistics, f"{graph}/{matrix.name}", matrix.shape[0])

        choices = [
            (matrix, choice)
            for matrix in found
            if (choice := chosen[f"{graph}/{matrix.name}"]) is not None
        ]
        what = f"quantize {graph}"
        reports[graph] = quantize_matrices(graphs[graph], choices, activations, progress, what)
    return reports


def _load(
    importance: Path | None, settings: SchemeSettings
) -> Mapping[str, NDArray[np.float64]] | None:
    if not settings.needs_activations:
        return None
    if importance is None:
        raise InputError(
            "importance: activation needs activation statistics: name a calibration manifest under "
            "calibrate.manifest, or choose importance: weight"
        )
    return load_importance(importance)
