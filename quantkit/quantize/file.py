"""One scheme on any ONNX file."""

from __future__ import annotations

from pathlib import Path

from quantkit.core.errors import InputError
from quantkit.core.progress import Progress
from quantkit.graph.files import load_model, save_model
from quantkit.quantize.model import quantize_graphs
from quantkit.quantize.moments import load_moments
from quantkit.quantize.options import SchemeSettings
from quantkit.quantize.tensors import GraphReport


def quantize_file(
    model: Path,
    settings: SchemeSettings,
    out: Path,
    progress: Progress,
    calibration: Path | None = None,
) -> GraphReport:
    """Quantize the weight matrices of an ONNX file into `out` (and `out`.data).

    Args:
        model: the ONNX file; its tensors are named "stem/initializer" in globs.
        settings: scheme, widths, exclusions and rules.
        out: the file to write, not the same as `model`.
        progress: told about each matrix.
        calibration: directory of activation statistics by "stem/initializer", for schemes that need
            them.

    Raises:
        InputError: the file cannot be read, holds nothing to quantize, would be overwritten, or a
            glob or weight is refused.
    """
    if out.resolve() == model.resolve():
        raise InputError(f"{out}: this is the model itself; name another file to write")
    if settings.needs_activations and calibration is None:
        raise InputError(f"scheme {settings.scheme!r} needs activation statistics")
    moments = load_moments(calibration) if calibration and settings.needs_activations else None
    graph = load_model(model)
    report = quantize_graphs({model.stem: graph}, moments, settings, progress)[model.stem]
    if all(tensor["block_size"] is None for tensor in report["tensors"]):
        raise InputError(
            f"{model}: nothing to quantize: no MatMul or Gemm multiplies with a constant float32 "
            "matrix from the right that is not excluded"
        )
    save_model(graph, out)
    return report
