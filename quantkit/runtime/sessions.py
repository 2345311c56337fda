"""Opens an artifact's graphs in ONNX Runtime and checks that they are what the contract says.

Sizes are checked by input and output name; sizes that a graph leaves open fit anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from quantkit.core.errors import InputError
from quantkit.runtime.contract import GraphContract, Port

#: What ONNX Runtime raises for a file that it cannot load.
LOAD_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)

PROVIDERS = ["CPUExecutionProvider"]
#: Optimizers that do harm: ONNX Runtime's SkipLayerNormalization takes longer on a CPU than the Add
#: and LayerNormalization that it stands for.
DISABLED_OPTIMIZERS = "SkipLayerNormFusion"


def session_options(threads: int | None) -> ort.SessionOptions:
    """How every session of the runtime runs; `threads` None lets ONNX Runtime choose."""
    options = ort.SessionOptions()
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = threads or 0
    options.add_session_config_entry(
        "optimization.disable_specified_optimizers", DISABLED_OPTIMIZERS
    )
    # Idle threads that spin would take the core that mel, prediction network and joint run on.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # Failures are raised, so ONNX Runtime need not print them as well.
    options.log_severity_level = 4
    return options


def open_session(
    path: Path, threads: int | None, profile: Path | None = None
) -> ort.InferenceSession:
    """Load one graph for the CPU; `threads` None lets ONNX Runtime choose.

    `profile` is what the file that `end_profiling` of the session writes is called before its
    date.

    Raises:
        InputError: the file, or external data of it, is missing or not a loadable ONNX graph.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: no such file. An artifact directory as written by 'quantkit build' holds "
            f"encoder.onnx, predictor.onnx and joint.onnx."
        )
    options = session_options(threads)
    # The threads are there already; in turns, packing the weights is most of the time of loading.
    options.add_session_config_entry("session.prepack.enable_parallel", "1")
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    try:
        return ort.InferenceSession(str(path), options, providers=PROVIDERS)
    except LOAD_ERRORS as error:
        raise InputError(
            f"{path}: ONNX Runtime {ort.__version__} cannot load it: {error}. Check that the file "
            f"and its .data file are complete, or build the artifact again."
        ) from error


def check_session(session: ort.InferenceSession, graph: GraphContract, path: Path) -> None:
    """Compare a loaded graph with the contract.

    Raises:
        InputError: naming every input and output that is missing, unknown or of another size.
    """
    problems = _differences("input", session.get_inputs(), graph.inputs)
    problems += _differences("output", session.get_outputs(), graph.outputs)
    if problems:
        raise InputError(
            f"{path}: does not match the streaming.json beside it: {'; '.join(problems)}. "
            f"Use the files of one build together."
        )


def _differences(kind: str, nodes: list[Any], expected: Sequence[Port]) -> list[str]:
    found = {node.name: node for node in nodes}
    ports = {port.name: port for port in expected}
    problems = [f"{kind} {name!r} is missing" for name in ports if name not in found]
    if kind == "input":
        problems += [f"input {name!r} is unknown" for name in found if name not in ports]
    for name, port in ports.items():
        if name in found and not port.fits(found[name]):
            node = found[name]
            problems.append(
                f"{kind} {name!r} is {node.type} {list(node.shape)}, "
                f"expected {port.type} {['any' if n is None else n for n in port.sizes]}"
            )
    return problems
