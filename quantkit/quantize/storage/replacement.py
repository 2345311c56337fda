"""Replace what uses the weights of an ONNX graph by MatMulNBits and GatherBlockQuantized."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from quantkit.graph.constants import add_constant
from quantkit.graph.names import MICROSOFT
from quantkit.quantize.storage.matrices import WeightMatrix
from quantkit.quantize.storage.packing import PackedMatrix
from quantkit.quantize.storage.stored import record_source

Parts = dict[str, NDArray[Any]]


def replace_matrix(
    model: ir.Model, matrix: WeightMatrix, packed: PackedMatrix, accuracy_level: int
) -> ir.Value:
    """Let every node that uses a matrix use its packed form, stored once.

    The bias of a Gemm becomes an Add: MatMulNBits would take it, but adds it in another order, so
    that results differ in the last bits from product + bias. The float constant goes when nothing
    else uses it.

    Args:
        model: changed in place.
        matrix: one of find_matrices(model).
        packed: its quantized form.
        accuracy_level: attribute of MatMulNBits; 0 leaves it out.

    Returns:
        Its codes.
    """
    model.graph.opset_imports[MICROSOFT] = max(1, model.graph.opset_imports.get(MICROSOFT, 1))
    lookup = matrix.use == "lookup"
    codes = packed.codes.reshape(packed.columns, -1) if lookup else packed.codes
    parts: Parts = {f"q{packed.bits}": codes, "scales": packed.scales}
    if packed.zero_points is not None:
        parts["zero_points"] = packed.zero_points
    stored = store_parts(model.graph, matrix, parts)
    widths = {"bits": packed.bits, "block_size": packed.block_size}
    if lookup:
        operator = "GatherBlockQuantized"
        attributes = {"gather_axis": 0, "quantize_axis": 1} | widths
    else:
        level = {"accuracy_level": accuracy_level} if accuracy_level else {}
        operator = "MatMulNBits"
        attributes = {"K": packed.rows, "N": packed.columns} | widths | level
    for node in matrix.nodes:
        inputs = [stored[0], node.inputs[1], *stored[1:]] if lookup else [node.inputs[0], *stored]
        new = ir.node(operator, inputs, attributes, domain=MICROSOFT, name=node.name)
        replace_node(node.graph or model.graph, node, [new])
    drop_unused(matrix.value)
    return stored[0]


def store_parts(graph: ir.Graph, matrix: WeightMatrix, parts: Parts) -> list[ir.Value]:
    """Make parts, codes first, initializers named after a matrix, its use and their suffix."""
    table, turned = matrix.use == "lookup", matrix.transposed
    base = matrix.name + ("_table" if table else "_transposed" if turned else "")
    stored = [
        add_constant(graph, ir.Tensor(array, name=f"{base}_{suffix}"))
        for suffix, array in parts.items()
    ]
    record_source(stored[0], matrix.name, transposed=turned)
    return stored


def replace_node(graph: ir.Graph, node: ir.Node, new: list[ir.Node]) -> None:
    """Put nodes that end in its product in another's place; a bias follows as an Add."""
    product = new[-1]
    if node.op_type == "Gemm" and len(node.inputs) > 2 and node.inputs[2] is not None:
        product.outputs[0].name = f"{node.outputs[0].name}_product"
        name = f"{node.name or node.outputs[0].name}_bias"
        new = [*new, ir.node("Add", [product.outputs[0], node.inputs[2]], name=name)]
    ir.convenience.replace_nodes_and_values(graph, node, [node], new, node.outputs, new[-1].outputs)


def drop_unused(value: ir.Value) -> None:
    """Remove a constant that nothing uses any more."""
    if value.uses() or value.is_graph_output():
        return
    producer = value.producer()
    if producer is not None and producer.graph is not None:
        producer.graph.remove(producer, safe=True)
    elif value.graph is not None and value.name is not None:
        del value.graph.initializers[value.name]
