"""Graphs that also report the mean square of what goes into their weight matrices."""

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
from quantkit.quantize.matrices import WeightMatrix, find_matrices


@dataclass(frozen=True)
class Port:
    """Outputs added for one input of a weight matrix.

    `squares` is float32 [K], the sum over rows of the squared input; `size` the number of elements.
    """

    squares: str
    size: str


def observe(model: ir.Model) -> dict[str, list[Port]]:
    """Add the outputs of a Port for every input of every quantizable matrix, in place.

    Matrices that share an input share its port. Nodes inside subgraphs are not observed.

    Returns:
        Matrix name -> ports; one for each different input that the matrix is multiplied with.
    """
    ports: dict[ir.Value, Port] = {}
    found: dict[str, list[Port]] = {}
    for matrix in find_matrices(model):
        if matrix.use == "lookup":
            continue
        for node in matrix.nodes:
            value = node.inputs[0]
            if value is None or node.graph is not model.graph:
                continue
            if value not in ports:
                ports[value] = _add_port(model.graph, value, matrix)
            found.setdefault(matrix.name, []).append(ports[value])
    return found


def _add_port(graph: ir.Graph, value: ir.Value, matrix: WeightMatrix) -> Port:
    port = Port(f"{value.name}_squares", f"{value.name}_size")
    channels = matrix.shape[0]
    rows = add_constant(graph, _integers([-1, channels], f"{value.name}_rows"))
    axes = add_constant(graph, _integers([0], f"{value.name}_axes"))
    flat = ir.node("Reshape", [value, rows], name=f"{value.name}_flat")
    squares = ir.node(
        "ReduceSumSquare", [flat.outputs[0], axes], {"keepdims": 0}, name=port.squares
    )
    size = ir.node("Size", [value], name=port.size)
    for node, name, kind, shape in (
        (squares, port.squares, ir.DataType.FLOAT, [channels]),
        (size, port.size, ir.DataType.INT64, []),
    ):
        output = node.outputs[0]
        output.name, output.type, output.shape = name, ir.TensorType(kind), ir.Shape(shape)
        graph.outputs.append(output)
    graph.extend([flat, squares, size])
    return port


def _integers(values: list[int], name: str) -> ir.TensorProtocol:
    return ir.tensor(values, ir.DataType.INT64, name=name)


class ObservedSession:
    """Runs a graph of a model like ONNX Runtime's session, and adds up its matrices' inputs.

    One thread computes, so that the same speech gives the same sums on any number of cores.
    """

    def __init__(self, path: Path) -> None:
        model = load_model(path)
        self.ports = observe(model)
        self._distinct = sorted(
            {port for ports in self.ports.values() for port in ports}, key=lambda port: port.squares
        )
        self._sums: dict[Port, NDArray[np.float64]] = {}
        self._rows: dict[Port, int] = {}
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # The graph is handed over in memory; its external weights lie where the file is.
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(path.parent.resolve())
        )
        self._session = ort.InferenceSession(
            ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def get_inputs(self) -> list[Any]:
        """Inputs of the graph, with name, type and shape."""
        return list(self._session.get_inputs())

    def run(self, names: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Compute the named outputs and note the statistics of this run."""
        extra = [name for port in self._distinct for name in (port.squares, port.size)]
        outputs = self._session.run([*names, *extra], dict(feeds))
        for index, port in enumerate(self._distinct):
            squares, size = outputs[len(names) + 2 * index : len(names) + 2 * index + 2]
            rows = int(size) // squares.size
            self._sums[port] = self._sums.get(port, 0.0) + squares.astype(np.float64)
            self._rows[port] = self._rows.get(port, 0) + rows
        return list(outputs[: len(names)])

    def mean_squares(self) -> dict[str, NDArray[np.float64]]:
        """Mean squared input of every matrix over all runs so far, float64 [K]."""
        return {
            name: np.asarray(
                sum(self._sums[port] for port in ports) / sum(self._rows[port] for port in ports)
            )
            for name, ports in self.ports.items()
        }
