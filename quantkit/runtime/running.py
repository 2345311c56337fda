"""What a graph says that loads but cannot run."""

from __future__ import annotations

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from quantkit.core.errors import InputError
from quantkit.runtime.sessions import LOAD_ERRORS

#: What ONNX Runtime raises from a step; with bound inputs and outputs that is a RuntimeError.
RUN_ERRORS = (*LOAD_ERRORS, ort_errors.EPFail, RuntimeError)


def cannot_run(graph: str, error: Exception) -> InputError:
    """The error of a graph, which is called `graph`, that ONNX Runtime stopped at."""
    return InputError(
        f"{graph}: ONNX Runtime {ort.__version__} cannot run it: {error}. The artifact is damaged "
        f"or not one of this version; build it again."
    )
