"""Sessions of graphs that are in memory, their weights on disk."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import onnxruntime as ort

from quantkit.graph.names import make_names_unique


def session_of(model: ir.Model, folder: Path) -> ort.InferenceSession:
    """Open a graph for the CPU; its external weights lie in `folder`.

    One thread computes, so that results do not depend on the number of cores. Optimisation stays
    at what is cheap: such a session serves a single pass over speech.
    """
    make_names_unique(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(folder.resolve())
    )
    return ort.InferenceSession(
        ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
