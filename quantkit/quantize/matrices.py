"""The weight matrices of an ONNX graph that MatMulNBits can hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from quantkit.core.errors import InputError
from quantkit.quantize.blocks import FloatArray


@dataclass(frozen=True)
class WeightMatrix:
    """A constant float32 matrix that MatMul or Gemm nodes multiply with from the right.

    Attributes:
        name: name of the initializer (or of a Constant's output).
        value: the constant.
        tensor: its data, still on disk where they are external.
        nodes: the nodes that multiply with it, all in the same orientation.
        transposed: whether it is stored as [N, K] (Gemm with transB).
    """

    name: str
    value: ir.Value
    tensor: ir.TensorProtocol
    nodes: tuple[ir.Node, ...]
    transposed: bool

    @property
    def shape(self) -> tuple[int, int]:
        """(K, N): inputs and outputs."""
        first, second = (int(size) for size in self.tensor.shape.numpy())
        return (second, first) if self.transposed else (first, second)

    def read(self) -> FloatArray:
        """Read the weights into memory as float32 [K, N], C-contiguous.

        Raises:
            InputError: a weight is NaN or infinite.
        """
        tensor = self.tensor
        stored = tensor.numpy()
        # Copied even where the layout is right: compiled loops know writable aligned arrays only.
        weight = np.array(stored.T if self.transposed else stored, np.float32, order="C")
        del stored
        if isinstance(tensor, ir.ExternalTensor):
            tensor.release()
        finite = np.isfinite(weight)
        if not finite.all():
            bad = weight.size - int(np.count_nonzero(finite))
            raise InputError(
                f"tensor {self.name!r} {list(weight.shape)} has {bad} NaN or infinite weights; "
                "only finite weights can be quantized. Export the model again, or exclude the "
                "tensor."
            )
        return weight


def find_matrices(model: ir.Model) -> list[WeightMatrix]:
    """Quantizable matrices in the order of their first use, subgraphs included."""
    found: dict[tuple[ir.Value, bool], WeightMatrix] = {}
    for node in model.graph.all_nodes():
        matrix = _constant_on_the_right(node)
        if matrix is None:
            continue
        known = found.get((matrix.value, matrix.transposed))
        if known is not None:
            matrix = replace(matrix, nodes=(*known.nodes, node))
        found[matrix.value, matrix.transposed] = matrix
    return list(found.values())


def _constant_on_the_right(node: ir.Node) -> WeightMatrix | None:
    if node.domain != "" or node.op_type not in {"MatMul", "Gemm"}:
        return None
    if node.op_type == "Gemm" and not _is_plain(node):
        return None
    value = node.inputs[1]
    if value is None or value.name is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is None or tensor.dtype != ir.DataType.FLOAT or len(tensor.shape) != 2:
        return None
    return WeightMatrix(value.name, value, tensor, (node,), _transposes(node))


def _is_plain(gemm: ir.Node) -> bool:
    """Whether a Gemm is a product and a sum: no factors, left side not transposed."""
    return (
        gemm.attributes.get_float("alpha", 1.0) == 1.0
        and gemm.attributes.get_float("beta", 1.0) == 1.0
        and gemm.attributes.get_int("transA", 0) == 0
    )


def _transposes(node: ir.Node) -> bool:
    return node.op_type == "Gemm" and node.attributes.get_int("transB", 0) == 1
