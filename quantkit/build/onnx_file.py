"""One scheme on any ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir

from quantkit.build.onnx_check import check_file, run_float
from quantkit.calibrate.onnx_file import load_inputs, observe_runs
from quantkit.core.errors import InputError
from quantkit.core.files import PARTIAL, require_space, scratch_directory
from quantkit.core.progress import Progress
from quantkit.graph.files import load_model, move_model, save_model, stored_bytes
from quantkit.graph.product_forms import expose_products, weights_as_constants
from quantkit.quantize.graphs import quantized
from quantkit.quantize.inventory import GraphReport
from quantkit.quantize.moments import MOMENTS, Moments, load_moments
from quantkit.quantize.settings import OliveSettings, OrtDynamicSettings, Scheme
from quantkit.quantize.storage.matrices import find_matrices

#: Bytes that a file system lets a name have.
_LONGEST_NAME = 255


def quantize_file(
    model: Path,
    settings: Scheme,
    out: Path,
    progress: Progress,
    calibration: Sequence[Path] = (),
) -> GraphReport:
    """Quantize the weight matrices of an ONNX file into `out` (and `out`.data).

    MatMul, Gemm, 1x1 convolutions over time and embedding tables are quantized where their weights
    are constant and float32; everything else stays as it is. Weights that are also inputs of the
    graph become constants. ONNX Runtime runs the result and the model on the same inputs before
    `out` gets its name.

    Args:
        model: the ONNX file; its tensors are named "stem/initializer" in globs.
        settings: the scheme.
        out: the file to write; neither it nor its data file may be read from.
        progress: told about each run and each matrix.
        calibration: .npz files, each with one set of the model's inputs by name, for schemes that
            need activations; or the directory that `quantkit calibrate --out` wrote.

    Returns:
        The report, whose notes say what is not as asked or as expected.

    Raises:
        InputError: the file cannot be read or run, holds nothing to quantize, would be overwritten,
            calibration is missing, not needed or does not fit, a glob or weight is refused, the
            disk is too small, or ONNX Runtime refuses the result.
    """
    _check_calibration(settings, calibration)
    graph = load_model(model)
    _check_target(model, graph, out)
    out.parent.mkdir(parents=True, exist_ok=True)
    # Beside `out`, where there is space for a model.
    with scratch_directory(out.with_name(f".{out.name}{PARTIAL}")) as scratch:
        statistics = _statistics(calibration)
        runs = () if statistics else calibration
        for path in runs:
            load_inputs(path, graph.graph)
        before = run_float(model, graph, runs, scratch)
        notes = weights_as_constants(graph)
        expose_products(graph)
        _require_space(graph, settings, out, copied=bool(runs))
        moments = None
        if statistics:
            moments = _fitting(load_moments(statistics), statistics, model, graph)
        elif runs:
            path = scratch / model.name
            save_model(graph, path)
            moments = _observe(path, graph, settings, runs, progress)
        written = scratch / "quantized" / out.name
        graphs = {model.stem: graph}
        for _, small, report in quantized(graphs, moments, settings, scratch, progress):
            if all(tensor["bits"] > 8 for tensor in report["tensors"]):
                raise InputError(_nothing(model, report))
            save_model(small, written)
        notes += report.get("notes", [])
        notes += check_file(written, model, before, report, scratch)
        move_model(written, out)
    if notes:
        report["notes"] = notes
    return report


def _statistics(calibration: Sequence[Path]) -> Path | None:
    """The directory of statistics that was given, or whose moments.npz was; None for runs.

    Raises:
        InputError: there is something beside it.
    """
    found = [
        path.parent if path.name == MOMENTS else path
        for path in calibration
        if path.is_dir() or path.name == MOMENTS
    ]
    if found and len(calibration) > 1:
        raise InputError(
            f"calibration: found {found[0]} and {len(calibration) - 1} more, accepted: one "
            "directory that quantkit calibrate --out wrote, or .npz files with runs of the model"
        )
    return found[0] if found else None


def _fitting(moments: Moments, statistics: Path, model: Path, graph: ir.Model) -> Moments:
    """The moments of one graph of a recipe under the names of this one's matrices.

    Raises:
        InputError: they are not those of this graph.
    """
    wanted = [m.measured_as for m in find_matrices(graph) if m.use == "product"]
    graphs = list(dict.fromkeys(name.partition("/")[0] for name in moments))
    known = {
        name: {key.partition("/")[2] for key in moments if key.startswith(f"{name}/")}
        for name in graphs
    }
    best = max(
        graphs,
        key=lambda name: (len(known[name].intersection(wanted)), name == model.stem),
        default="",
    )
    missing = [name for name in wanted if name not in known.get(best, ())]
    if wanted and len(missing) == len(wanted):
        there = ", ".join(repr(f"{best}/{name}") for name in sorted(known.get(best, ()))[:3])
        raise InputError(
            f"{statistics}: has no statistics of {model}, whose first matrices are "
            f"{', '.join(map(repr, wanted[:3]))}; it has {len(moments)}, of "
            f"{', '.join(graphs) or 'nothing'}, beginning with {there or 'nothing'}. Give the "
            "graph that was calibrated, which the fuse stage of the same recipe wrote"
        )
    return {f"{model.stem}/{name}": moments[f"{best}/{name}"] for name in known[best]}


def _require_space(graph: ir.Model, settings: Scheme, out: Path, *, copied: bool) -> None:
    """Refuse at once what cannot be written: copies of the float model, and the least of `out`."""
    size = stored_bytes(graph)
    matrices = sum(matrix.tensor.nbytes for matrix in find_matrices(graph))
    copies = size if copied else 0
    if isinstance(settings, OliveSettings | OrtDynamicSettings):
        copies += size
    # Not less than two of 32 bits stay of a matrix.
    require_space(out.parent, copies + size - matrices * 30 // 32, f"{out.name} and its scratch")


def _check_calibration(settings: Scheme, calibration: Sequence[Path]) -> None:
    if settings.needs_activations and not calibration:
        raise InputError(
            f"calibration: scheme {settings.scheme!r} needs inputs of the model to measure what "
            "its weights multiply; give one or more .npz files, each with the inputs "
            "of one run by name, or the directory of quantkit calibrate --out, or choose a scheme "
            "that needs none, such as kquant"
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
    if len(f".{out.name}.data{PARTIAL}".encode()) > _LONGEST_NAME or out.is_dir():
        why = "is a directory" if out.is_dir() else "is too long a name for a file and its data"
        raise InputError(f"{out}: this {why}; name another file to write")
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
    settings: Scheme,
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
    if (notes := report.get("notes")) and not halves:
        return f"{model}: nothing is quantized: {'; '.join(notes)}"
    return (
        f"{model}: nothing to quantize: no MatMul or Gemm multiplies with a constant float32 "
        f"matrix from the right that is not excluded, no Gather looks one up{hint}"
    )
