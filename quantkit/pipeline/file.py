"""One scheme on any ONNX file."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir

from quantkit.calibrate.file import load_inputs, observe_runs
from quantkit.core.errors import InputError
from quantkit.core.progress import Progress
from quantkit.fuse.products import expose_products
from quantkit.graph.files import load_model, save_model
from quantkit.quantize.model import quantized
from quantkit.quantize.moments import Moments
from quantkit.quantize.options import AnyScheme
from quantkit.quantize.tensors import GraphReport


def quantize_file(
    model: Path,
    settings: AnyScheme,
    out: Path,
    progress: Progress,
    calibration: Sequence[Path] = (),
) -> GraphReport:
    """Quantize the weight matrices of an ONNX file into `out` (and `out`.data).

    MatMul, Gemm, 1x1 convolutions over time and embedding tables are quantized where their weights
    are constant and float32; everything else stays as it is.

    Args:
        model: the ONNX file; its tensors are named "stem/initializer" in globs.
        settings: the scheme.
        out: the file to write; neither it nor its data file may be read from.
        progress: told about each run and each matrix.
        calibration: .npz files, each with one set of the model's inputs by name, for schemes that
            need activations.

    Raises:
        InputError: the file cannot be read, holds nothing to quantize, would be overwritten,
            calibration is missing, not needed or does not fit, or a glob or weight is refused.
    """
    _check_calibration(settings, calibration)
    graph = load_model(model)
    _check_target(model, graph, out)
    expose_products(graph)
    out.parent.mkdir(parents=True, exist_ok=True)
    # Beside `out`, where there is space for a model.
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        moments = None
        if calibration:
            path = Path(scratch) / model.name
            save_model(graph, path)
            moments = _observe(path, graph, settings, calibration, progress)
        graphs = {model.stem: graph}
        for _, small, report in quantized(graphs, moments, settings, Path(scratch), progress):
            if all(tensor["bits"] > 8 for tensor in report["tensors"]):
                raise InputError(_nothing(model, report))
            save_model(small, out)
    return report


def _check_calibration(settings: AnyScheme, calibration: Sequence[Path]) -> None:
    if settings.needs_activations and not calibration:
        raise InputError(
            f"calibration: scheme {settings.scheme!r} needs inputs of the model to measure what "
            "its weights are multiplied with; give one or more .npz files, each with the inputs "
            "of one run by name, or choose a scheme that needs none, such as kquant"
        )
    if calibration and not settings.needs_activations:
        raise InputError(
            f"calibration: scheme {settings.scheme!r} makes no use of the model's inputs; leave "
            "it out, or choose kquant with importance activation"
        )


def _check_target(model: Path, graph: ir.Model, out: Path) -> None:
    written = {out.resolve(), Path(f"{out}.data").resolve()}
    if model.resolve() in written:
        raise InputError(f"{out}: this is the model itself; name another file to write")
    for value in graph.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor) and Path(tensor.path).resolve() in written:
            raise InputError(
                f"{out}: {tensor.path}, which holds weights of {model}, would be overwritten; name "
                "another file to write"
            )


def _observe(
    model: Path,
    graph: ir.Model,
    settings: AnyScheme,
    calibration: Sequence[Path],
    progress: Progress,
) -> Moments:
    runs = (
        load_inputs(path, graph.graph)
        for path in progress.track(calibration, len(calibration), "calibrate")
    )
    found = observe_runs(model, runs, model.parent, hessians=settings.needs_hessians)
    return {f"{model.stem}/{name}": moments for name, moments in found.items()}


def _nothing(model: Path, report: GraphReport) -> str:
    halves = [t for t in report["tensors"] if t["bits"] == 16 and len(t["shape"]) > 1]
    hint = (
        f". It has {len(halves)} matrices of 16-bit floats: convert the model to float32 first"
        if halves
        else ""
    )
    return (
        f"{model}: nothing to quantize: no MatMul or Gemm multiplies with a constant float32 "
        f"matrix from the right that is not excluded, no Gather looks one up{hint}"
    )
