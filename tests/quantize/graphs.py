"""Small ONNX graphs, and running them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def save_graph(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Sequence[str],
    constants: Mapping[str, NDArray[Any]],
    *,
    external: bool = False,
    integers: Sequence[str] = (),
    opset: int = 21,
) -> Path:
    """Write a graph; inputs and outputs are float32, but for the inputs named as int64."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [
            helper.make_tensor_value_info(
                n, TensorProto.INT64 if n in integers else TensorProto.FLOAT, s
            )
            for n, s in inputs.items()
        ],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.save(
        model,
        path,
        save_as_external_data=external,
        location=f"{path.name}.data",
        size_threshold=64,
    )
    return path


def run(path: Path, **feeds: NDArray[Any]) -> list[NDArray[Any]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, feeds))


def matrix(rows: int, columns: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def two_layers(path: Path, *, external: bool = False) -> Path:
    """MatMul "first.weight" [40, 24], Relu, Gemm "second.weight" [9, 24] with a bias."""
    nodes = [
        helper.make_node("MatMul", ["x", "first.weight"], ["hidden"], name="first"),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node(
            "Gemm", ["active", "second.weight", "second.bias"], ["y"], name="second", transB=1
        ),
    ]
    constants = {
        "first.weight": matrix(40, 24, 1),
        "second.weight": matrix(9, 24, 2),
        "second.bias": matrix(1, 9, 3)[0],
    }
    return save_graph(path, nodes, {"x": ["n", 40]}, ["y"], constants, external=external)
