"""The report on a graph that another tool quantized, read off what it stores."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from quantkit.core.errors import InputError
from quantkit.core.progress import Progress
from quantkit.graph.constants import read_constant
from quantkit.quantize.storage.blocks import FloatArray
from quantkit.quantize.storage.stored import StoredTensor, stored_tensors
from quantkit.quantize.storage.tensors import (
    GraphReport,
    TensorReport,
    count_parameters,
    float_constants,
    graph_report,
)


def compare_graphs(before: ir.Model, after: ir.Model, progress: Progress, what: str) -> GraphReport:
    """Compare every tensor that a graph stores in few bits with the float tensor it was made from.

    Args:
        before: the float graph.
        after: the same graph, quantized. A tensor of which `before` has no float is left out.
        progress: told about each tensor.
        what: words beside the progress bar.

    Raises:
        InputError: a tensor is stored in a way that is not read here, or not finite.
    """
    floats = float_constants(before)
    todo = [tensor for tensor in stored_tensors(after) if tensor.name in floats]
    reports = [
        _report(tensor, read_constant(floats[tensor.name]))
        for tensor in progress.track(todo, len(todo), what)
    ]
    return graph_report(after, count_parameters(before), reports)


def _report(stored: StoredTensor, weight: FloatArray) -> TensorReport:
    values = stored.dequantize()
    error = _relative_error(values, weight.swapaxes(-1, -2) if stored.transposed else weight)
    if not np.isfinite(error):
        raise InputError(
            f"tensor {stored.name!r} {list(stored.shape)}: what is stored of it, or its weights, "
            "are NaN or infinite; use another scheme, or export the model again"
        )
    return {
        "name": stored.name,
        "shape": list(stored.shape),
        "bits": stored.bits,
        "block_size": stored.block_size,
        "bytes": stored.nbytes,
        "relative_error": error,
    }


def _relative_error(stored: FloatArray, weight: FloatArray) -> float:
    rest = np.subtract(stored, weight, dtype=np.float64)
    energy = np.square(weight, dtype=np.float64).sum()
    return float(np.sqrt(np.square(rest).sum() / energy)) if energy > 0 else 0.0
