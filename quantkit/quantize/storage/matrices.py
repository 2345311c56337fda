"""The weight matrices of an ONNX graph that the runtime can hold in few bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import onnx_ir as ir

from quantkit.core.errors import InputError
from quantkit.graph.constants import read_constant
from quantkit.quantize.moments import InputMoments
from quantkit.quantize.storage.blocks import FloatArray

Use = Literal["product", "lookup"]

# GatherBlockQuantized has only whole blocks, and none smaller.
SMALLEST_BLOCK = 16


MatrixKey = tuple[ir.Value, Use, bool]


class InfiniteError(InputError):
    """A matrix holds infinities, as a table of masks does."""


@dataclass(frozen=True)
class WeightMatrix:
    """A constant float32 matrix that MatMul or Gemm nodes multiply with, or Gather nodes look up.

    A lookup is the product of a unit vector with the table; its blocks run along the rows of the
    table, so K is the length of an embedding and N the number of them.

    Attributes:
        name: name of the initializer (or of a Constant's output).
        value: the constant.
        tensor: its data, still on disk where they are external.
        nodes: the nodes that use it, all in the same way.
        use: what they do with it.
        transposed: whether it is stored as [N, K] (Gemm with transB, and tables).
        measured_as: the name that the moments of its inputs have: its own, but for the second of
            two products that use a constant in both ways.
    """

    name: str
    value: ir.Value
    tensor: ir.TensorProtocol
    nodes: tuple[ir.Node, ...]
    use: Use
    transposed: bool
    measured_as: str

    @property
    def key(self) -> MatrixKey:
        """What tells matrices apart: a constant may be several, each used in its own way."""
        return self.value, self.use, self.transposed

    @property
    def shape(self) -> tuple[int, int]:
        """(K, N): inputs and outputs."""
        first, second = (int(size) for size in self.tensor.shape.numpy())
        return (second, first) if self.transposed else (first, second)

    def read(self) -> FloatArray:
        """Read the weights into memory as float32 [K, N], C-contiguous.

        Raises:
            InfiniteError: weights are infinite, but none is NaN.
            InputError: a weight is NaN.
        """
        # A copy even where the layout is right: compiled loops know writable aligned arrays only.
        stored = read_constant(self.tensor)
        weight = np.ascontiguousarray(stored.T if self.transposed else stored)
        finite = np.isfinite(weight)
        if not finite.all():
            bad = weight.size - int(np.count_nonzero(finite))
            kind = InputError if np.isnan(weight).any() else InfiniteError
            raise kind(
                f"tensor {self.name!r} {list(weight.shape)} has {bad} NaN or infinite weights; "
                "only finite weights can be quantized. Export the model again, or exclude the "
                "tensor."
            )
        return weight


#: Tells the moments of what a matrix is multiplied with, or None where nobody asked for them.
Inputs = Callable[[WeightMatrix], InputMoments | None]


def find_matrices(model: ir.Model) -> list[WeightMatrix]:
    """Quantizable matrices in the order of their first use, subgraphs included."""
    matrices: dict[MatrixKey, WeightMatrix] = {}
    for node in model.graph.all_nodes():
        matrix = _matrix_of(node)
        if matrix is None:
            continue
        if known := matrices.get(matrix.key):
            matrix = replace(known, nodes=(*known.nodes, node))
        elif (matrix.value, matrix.use, not matrix.transposed) in matrices:
            matrix = replace(matrix, measured_as=f"{matrix.name}_turned")
        matrices[matrix.key] = matrix
    return list(matrices.values())


def _matrix_of(node: ir.Node) -> WeightMatrix | None:
    """The matrix that a node uses, if it is one."""
    numbers = {name: a.value for name, a in node.attributes.items() if not a.is_ref()}
    if node.domain != "":
        return None
    if node.op_type == "MatMul":
        return _matrix(node, node.inputs[1], "product", transposed=False)
    # A product and a sum: no factors, left side not transposed.
    factors = (numbers.get("alpha", 1.0), numbers.get("beta", 1.0), numbers.get("transA", 0))
    if node.op_type == "Gemm" and factors == (1.0, 1.0, 0):
        return _matrix(node, node.inputs[1], "product", transposed=numbers.get("transB", 0) == 1)
    if node.op_type == "Gather" and numbers.get("axis", 0) == 0:
        table = _matrix(node, node.inputs[0], "lookup", transposed=True)
        return table if table is not None and table.shape[0] % SMALLEST_BLOCK == 0 else None
    return None


def _matrix(
    node: ir.Node, value: ir.Value | None, use: Use, *, transposed: bool
) -> WeightMatrix | None:
    """The constant float32 matrix behind a value, if it is one."""
    if value is None or not value.name or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is None or tensor.dtype != ir.DataType.FLOAT or len(tensor.shape) != 2:
        return None
    if not tensor.size:
        return None
    return WeightMatrix(value.name, value, tensor, (node,), use, transposed, value.name)
