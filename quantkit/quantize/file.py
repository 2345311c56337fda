"""One scheme on any ONNX file."""

from __future__ import annotations

from pathlib import Path

from quantkit.core.errors import InputError
from quantkit.core.progress import Progress
from quantkit.graph.files import save_model
from quantkit.quantize.model import quantized
from quantkit.quantize.options import Scheme
from quantkit.quantize.tensors import GraphReport


def quantize_file(
    model: Path,
    settings: Scheme,
    out: Path,
    progress: Progress,
    calibration: Path | None = None,
) -> GraphReport:
    """Quantize the weight matrices of an ONNX file into `out` (and `out`.data).

    Args:
        model: the ONNX file; its tensors are named "stem/initializer" in globs.
        settings: the scheme.
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
    out.parent.mkdir(parents=True, exist_ok=True)
    paths = {model.stem: model}
    for _, graph, report in quantized(paths, calibration, settings, out.parent, progress):
        if all(tensor["bits"] > 8 for tensor in report["tensors"]):
            raise InputError(
                f"{model}: nothing to quantize: no MatMul or Gemm multiplies with a constant "
                "float32 matrix from the right that is not excluded"
            )
        save_model(graph, out)
    return report
