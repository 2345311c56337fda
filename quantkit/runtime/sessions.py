"""Opens an artifact's graphs in ONNX Runtime and checks that they are what streaming.json means.

Sizes are checked by input and output name; sizes that a graph leaves open fit anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from quantkit.core.errors import InputError
from quantkit.runtime.settings import StreamingSettings

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

GraphName = Literal["encoder", "predictor", "joint"]
FLOAT, INTEGER = "tensor(float)", "tensor(int64)"


@dataclass(frozen=True)
class Port:
    """A graph input or output: its type in ONNX Runtime's words, and its sizes (None fits any)."""

    type: str
    shape: tuple[int | None, ...]

    def fits(self, node: Any) -> bool:
        """Whether a session's input or output can be this port."""
        if node.type != self.type or len(node.shape) != len(self.shape):
            return False
        pairs = zip(node.shape, self.shape, strict=True)
        return all(not isinstance(a, int) or b is None or a == b for a, b in pairs)


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


def expected_ports(
    graph: GraphName, settings: StreamingSettings
) -> tuple[dict[str, Port], dict[str, Port]]:
    """The inputs and outputs that a graph of an artifact has, by name."""
    encoder, predictor = settings.encoder, settings.predictor
    logits = settings.vocabulary_size + 1
    state = Port(FLOAT, (predictor.layers, 1, predictor.hidden))
    prediction = Port(FLOAT, (1, 1, predictor.hidden))
    if graph == "predictor":
        inputs = {"token": Port(INTEGER, (1, 1)), "hidden": state, "cell": state}
        return inputs, {"prediction": prediction, "hidden_next": state, "cell_next": state}
    if graph == "joint":
        inputs = {"encoded": Port(FLOAT, (1, None, encoder.dim)), "prediction": prediction}
        return inputs, {"logits": Port(FLOAT, (1, None, logits))}
    rows = settings.left_context + settings.chunk_encoder_frames
    attention = Port(FLOAT, (1, encoder.heads, rows, encoder.dim // encoder.heads))
    caches = {"cache_length": Port(INTEGER, (1,))}
    for layer in range(encoder.layers):
        caches[f"key_cache_{layer}"] = caches[f"value_cache_{layer}"] = attention
        caches[f"conv_cache_{layer}"] = Port(FLOAT, (1, encoder.conv_cache, encoder.dim))
    features = Port(FLOAT, (1, settings.window_frames, settings.mel.n_mels))
    return {"features": features, "length": Port(INTEGER, (1,)), **caches}, {
        "encoded": Port(FLOAT, (1, settings.chunk_encoder_frames, encoder.dim)),
        "encoded_length": Port(INTEGER, (1,)),
        **{f"{name}_next": port for name, port in caches.items()},
    }


def check_session(
    session: ort.InferenceSession, graph: GraphName, settings: StreamingSettings, path: Path
) -> None:
    """Compare a loaded graph with the settings.

    Raises:
        InputError: naming every input and output that is missing, unknown or of another size.
    """
    inputs, outputs = expected_ports(graph, settings)
    problems = _differences("input", session.get_inputs(), inputs)
    problems += _differences("output", session.get_outputs(), outputs)
    if problems:
        raise InputError(
            f"{path}: does not match the streaming.json beside it: {'; '.join(problems)}. "
            f"Use the files of one build together."
        )


def _differences(kind: str, nodes: list[Any], ports: dict[str, Port]) -> list[str]:
    found = {node.name: node for node in nodes}
    problems = [f"{kind} {name!r} is missing" for name in ports if name not in found]
    if kind == "input":
        problems += [f"input {name!r} is unknown" for name in found if name not in ports]
    for name, port in ports.items():
        if name in found and not port.fits(found[name]):
            node = found[name]
            problems.append(
                f"{kind} {name!r} is {node.type} {list(node.shape)}, "
                f"expected {port.type} {['any' if n is None else n for n in port.shape]}"
            )
    return problems
