"""Opens an artifact's graphs in ONNX Runtime and checks that they are what its contract says.

Sizes are checked by input and output name; sizes that a graph leaves open fit anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from quantkit.core.errors import InputError
from quantkit.runtime.contract import BATCH, Graph, Port, Size

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

#: What ONNX Runtime raises from a step; with bound inputs and outputs that is a RuntimeError.
RUN_ERRORS = (*LOAD_ERRORS, ort_errors.EPFail, RuntimeError)

PROVIDERS = ["CPUExecutionProvider"]
#: Optimizers that do harm: ONNX Runtime's SkipLayerNormalization takes longer on a CPU than the Add
#: and LayerNormalization that it stands for.
DISABLED_OPTIMIZERS = "SkipLayerNormFusion"

_TYPES = {"float32": "tensor(float)", "int64": "tensor(int64)"}


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
            f"the graphs that its streaming.json names."
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


def check_session(session: ort.InferenceSession, graph: Graph, path: Path) -> None:
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


def cannot_run(graph: str, error: Exception) -> InputError:
    """The error of a graph, which is called `graph`, that ONNX Runtime stopped at."""
    return InputError(
        f"{graph}: ONNX Runtime {ort.__version__} cannot run it: {error}. The artifact is damaged "
        f"or not one of this version; build it again."
    )


def _differences(kind: str, nodes: Sequence[ort.NodeArg], ports: Sequence[Port]) -> list[str]:
    has = {node.name: node for node in nodes}
    known = {port.name for port in ports}
    problems = [f"{kind} {port.name!r} is missing" for port in ports if port.name not in has]
    if kind == "input":
        problems += [f"input {name!r} is unknown" for name in has if name not in known]
    for port in ports:
        if port.name in has and not _fits(node := has[port.name], port):
            problems.append(
                f"{kind} {port.name!r} is {node.type} {list(node.shape)}, "
                f"expected {_TYPES[port.type]} {_sizes(port)}"
            )
    return problems


def _fits(node: ort.NodeArg, port: Port) -> bool:
    """Whether a session's input or output can be this port."""
    if node.type != _TYPES[port.type] or len(node.shape) != len(port.shape):
        return False
    pairs = zip(node.shape, _sizes(port), strict=True)
    return all(not isinstance(a, int) or b in {a, "any"} for a, b in pairs)


def _sizes(port: Port) -> list[Size]:
    """A port's sizes for one stream; other open sizes are any."""
    return [1 if size == BATCH else "any" if isinstance(size, str) else size for size in port.shape]
