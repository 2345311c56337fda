"""Products of integers: int8 weights with a scale a column, uint8 activations with a scale a row.

ONNX Runtime's own dynamic quantization has one scale for all rows of an activation. Here a row x,
one frame of one stream, has its own: codes q = rint(x / s) + z, where s follows from the largest
value of the row. So no row's result depends on the rows beside it, to the last bit. The sum of
(q - z) (c - z_c) is exact in int32; MatMulIntegerToFloat multiplies it by the column's scale, and
one product more by s.

Activations are unsigned and weights signed because processors multiply such pairs: uint8 by uint8
runs at half of the speed, int8 by int8 at a tenth. Those without VNNI instructions add two products
in 16 bits, where the largest pairs saturate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.tape import Tape

from quantkit.core.errors import InputError
from quantkit.graph.constants import add_constant
from quantkit.graph.names import MICROSOFT
from quantkit.quantize.storage.blocks import QuantizedMatrix
from quantkit.quantize.storage.matrices import WeightMatrix
from quantkit.quantize.storage.packing import signed
from quantkit.quantize.storage.replacement import Parts, drop_unused, replace_node, store_parts

# The first in which QuantizeLinear takes scales along the last axis.
OPSET = 21

# Marks, while a graph is open, a node that quantizes rows.
_ROWS = "quantkit.rows"

# Nodes that hand values on as they are.
_MOVES = {"Reshape", "Transpose", "Slice", "Squeeze", "Unsqueeze"}


@dataclass(frozen=True)
class RowGrid:
    """How the scale of a row follows from its largest value: max(largest / (255 - zero), least).

    Attributes:
        zero: the code of 0.
        least: no scale is smaller, so that nothing falls below code 0 or is divided by zero.
        signed: whether values below zero count as much as those above.
    """

    zero: int
    least: float
    signed: bool = False


_TINY = float(np.finfo(np.float32).tiny)
SIGNED = RowGrid(128, _TINY, signed=True)
RELU = RowGrid(0, _TINY)
# SiLU is never below -0.2785. Of the codes from 0 to 128, 32 lost least.
SILU = RowGrid(32, 0.2785 / 32)


def grid_of(value: ir.Value) -> RowGrid:
    """The grid for a value, after the activation function that it comes from."""
    node = value.producer()
    while node is not None and node.op_type in _MOVES and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    if node is not None and node.op_type == "Relu":
        return RELU
    # With a smaller alpha it reaches further below zero.
    if (
        node is not None
        and node.op_type == "QuickGelu"
        and node.attributes.get_float("alpha", 1.702) >= 1.0
    ):
        return SILU
    return SIGNED


def replace_by_integers(
    model: ir.Model, matrix: WeightMatrix, quantized: QuantizedMatrix
) -> ir.Value:
    """Let every node that multiplies with a matrix multiply integers.

    Args:
        model: changed in place.
        matrix: one of find_matrices(model), used in products.
        quantized: in 8 bits and one block a column.

    Returns:
        The codes.

    Raises:
        InputError: the model's operators are too old.
    """
    opset = model.graph.opset_imports.get("", 0)
    if opset < OPSET:
        raise InputError(
            f"found a model of ONNX opset {opset}, accepted by scheme 'int8-dynamic': {OPSET} and "
            "up; convert it with onnx.version_converter, or choose another scheme"
        )
    model.graph.opset_imports[MICROSOFT] = max(1, model.graph.opset_imports.get(MICROSOFT, 1))
    parts: Parts = {
        "q8": signed(quantized.codes[:, 0].T),
        "scales": quantized.scales[:, 0],
        "zero_points": signed(quantized.zero_points[:, 0]),
    }
    codes, scales, zero_points = store_parts(model.graph, matrix, parts)
    unit = _shared(model.graph, "rows_one", np.float32(1))
    for node in matrix.nodes:
        rows = _quantize_rows(model.graph, cast("ir.Value", node.inputs[0]), matrix.shape[0])
        product = ir.node(
            "MatMulIntegerToFloat",
            [rows.codes, codes, unit, scales, rows.zero, zero_points],
            domain=MICROSOFT,
            name=node.name,
        )
        product.outputs[0].name = f"{node.outputs[0].name}_unscaled"
        name = f"{node.name or node.outputs[0].name}_scaled"
        scaled = ir.node("Mul", [product.outputs[0], rows.scale], name=name)
        replace_node(node.graph or model.graph, node, [product, scaled])
    drop_unused(matrix.value)
    return codes


@dataclass(frozen=True)
class _Rows:
    """A value [..., K] in a graph: codes uint8 [..., K], scale float32 [..., 1], the code of 0."""

    codes: ir.Value
    scale: ir.Value
    zero: ir.Value


def _quantize_rows(graph: ir.Graph, value: ir.Value, length: int) -> _Rows:
    """Quantize a value [..., K] right where it comes from, once for all who use it."""
    grid = grid_of(value)
    zero = _shared(graph, f"rows_zero_{grid.zero}", np.uint8(grid.zero))
    axis = _shared(graph, "rows_axis", np.array([-1]))
    steps = _shared(graph, f"rows_steps_{grid.zero}", np.float32(255 - grid.zero))
    least = _shared(graph, f"rows_least_{grid.zero}", np.float32(grid.least))

    for node in value.consumers():
        if _ROWS in node.meta and node.inputs[0] is value:
            return _Rows(node.outputs[0], cast("ir.Value", node.inputs[1]), zero)

    tape = Tape()

    def add(operator: str, *inputs: ir.Value, **attributes: int | ir.TensorProtocol) -> ir.Value:
        step = f"{value.name}_{operator}"
        return tape.op(operator, inputs, attributes, name=step, output=ir.Value(name=step))

    largest = add("ReduceMax", add("Abs", value) if grid.signed else value, axis)
    scale = add("Max", add("Div", largest, steps), least)
    fill = ir.tensor(np.array([grid.zero], np.uint8))
    zeros = add("ConstantOfShape", add("Shape", scale), value=fill)
    codes = add("QuantizeLinear", value, scale, zeros, axis=-1, block_size=length)
    codes.name = f"{value.name}_codes"
    cast("ir.Node", codes.producer()).meta[_ROWS] = True
    producer = value.producer()
    home = (value.graph if producer is None else producer.graph) or graph
    if producer is None:
        home.insert_before(home[0], tape.nodes)
    else:
        home.insert_after(producer, tape.nodes)
    return _Rows(codes, scale, zero)


def _shared(graph: ir.Graph, name: str, value: NDArray[np.generic] | np.generic) -> ir.Value:
    """A small initializer that all products of a graph share."""
    wanted = np.asarray(value)
    known = graph.initializers.get(name)
    # A graph may have something else under this name.
    if known is not None and not (
        known.const_value is not None
        and known.const_value.dtype.numpy() == wanted.dtype
        and known.const_value.shape.numpy() == wanted.shape
        and np.array_equal(known.const_value.numpy(), wanted)
        and not known.is_graph_input()
    ):
        return _shared(graph, f"{name}_", value)
    return known or add_constant(graph, ir.tensor(wanted, name=name))
