"""Graphs that also give out what goes into their weight matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from quantkit.graph.constants import add_constant
from quantkit.graph.files import load_model
from quantkit.graph.names import make_names_unique
from quantkit.quantize.storage.matrices import find_matrices


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


@dataclass(frozen=True)
class MatrixInput:
    """One input of a graph and the weight matrices that multiply it.

    Attributes:
        matrices: what their moments are named after; see WeightMatrix.measured_as.
        channels: K, the length of a row.
        outputs: names of the graph's outputs that hold the rows, float32 [R, K] each; several
            where the matrices are used more than once.
    """

    matrices: tuple[str, ...]
    channels: int
    outputs: tuple[str, ...]


def observe(model: ir.Model) -> list[MatrixInput]:
    """Add the inputs of all quantizable products to the outputs of a graph, in place.

    Lookup tables have no input worth measuring. Nodes inside subgraphs are not observed.
    """
    outputs: dict[ir.Value, ir.Value] = {}
    groups: dict[tuple[ir.Value, ...], list[str]] = {}
    channels: dict[tuple[ir.Value, ...], int] = {}
    for matrix in find_matrices(model):
        if matrix.use == "lookup":
            continue
        rows = []
        for node in matrix.nodes:
            value = node.inputs[0]
            if value is None or node.graph is not model.graph:
                continue
            if value not in outputs:
                outputs[value] = _add_rows(model.graph, value, matrix.shape[0])
            rows.append(outputs[value])
        if rows:
            groups.setdefault(tuple(rows), []).append(matrix.measured_as)
            channels[tuple(rows)] = matrix.shape[0]
    make_names_unique(model)
    return [
        MatrixInput(tuple(matrices), channels[rows], tuple(str(value.name) for value in rows))
        for rows, matrices in groups.items()
    ]


def _add_rows(graph: ir.Graph, value: ir.Value, channels: int) -> ir.Value:
    """Give a value out as float32 [R, K]; return the output."""
    shape = ir.tensor([-1, channels], ir.DataType.INT64, name=f"{value.name}_rows_shape")
    node = ir.node("Reshape", [value, add_constant(graph, shape)], name=f"{value.name}_rows")
    output = node.outputs[0]
    output.name, output.type = f"{value.name}_rows", ir.TensorType(ir.DataType.FLOAT)
    output.shape = ir.Shape([None, channels])
    graph.outputs.append(output)
    graph.append(node)
    return output


class ObservedSession:
    """Runs a graph like ONNX Runtime's session, and keeps the rows that its matrices met.

    One thread computes, so that the same speech gives the same rows on any number of cores.
    """

    def __init__(self, path: Path) -> None:
        model = load_model(path)
        self.inputs = observe(model)
        names = (name for given in self.inputs for name in given.outputs)
        self._kept: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
        self.kept_bytes = 0
        self._session = session_of(model, path.parent)

    def get_inputs(self) -> list[Any]:
        """Inputs of the graph, with name, type and shape."""
        return list(self._session.get_inputs())

    def run(self, names: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Compute the named outputs and keep the rows of this run."""
        outputs = self._session.run([*names, *self._kept], dict(feeds))
        for kept, rows in zip(self._kept.values(), outputs[len(names) :], strict=True):
            kept.append(rows)
            self.kept_bytes += rows.nbytes
        return list(outputs[: len(names)])

    def take(self) -> list[list[NDArray[np.float32]]]:
        """The rows kept since the last call, float32 [R, K] each, in the order of `inputs`."""
        taken = [
            [rows for name in given.outputs for rows in self._kept[name]] for given in self.inputs
        ]
        self._kept = {name: [] for name in self._kept}
        self.kept_bytes = 0
        return taken
