"""Replace what uses the weights of an ONNX graph by MatMulNBits and GatherBlockQuantized."""

from __future__ import annotations

import onnx_ir as ir

from quantkit.graph.constants import add_constant
from quantkit.graph.names import MICROSOFT
from quantkit.quantize.storage.matrices import WeightMatrix
from quantkit.quantize.storage.packing import PackedMatrix


def replace_matrix(
    model: ir.Model, matrix: WeightMatrix, packed: PackedMatrix, accuracy_level: int
) -> None:
    """Let every node that uses a matrix use its packed form, stored once.

    The bias of a Gemm becomes an Add: MatMulNBits would take it, but adds it in another order, so
    that results differ in the last bits from product + bias. The float constant goes when nothing
    else uses it.

    Args:
        model: changed in place.
        matrix: one of find_matrices(model).
        packed: its quantized form.
        accuracy_level: attribute of MatMulNBits; 0 leaves it out.
    """
    model.graph.opset_imports[MICROSOFT] = max(1, model.graph.opset_imports.get(MICROSOFT, 1))
    inputs = _register(model.graph, matrix, packed)
    operator = _lookup if matrix.use == "lookup" else _product
    for node in matrix.nodes:
        replace_node(
            node.graph or model.graph, node, [operator(node, inputs, packed, accuracy_level)]
        )
    drop_unused(matrix.value)


def _product(
    node: ir.Node, inputs: list[ir.Value], packed: PackedMatrix, accuracy_level: int
) -> ir.Node:
    attributes = {
        "K": packed.rows,
        "N": packed.columns,
        "bits": packed.bits,
        "block_size": packed.block_size,
    }
    if accuracy_level:
        attributes["accuracy_level"] = accuracy_level
    return ir.node(
        "MatMulNBits", [node.inputs[0], *inputs], attributes, domain=MICROSOFT, name=node.name
    )


def _lookup(node: ir.Node, inputs: list[ir.Value], packed: PackedMatrix, _: int) -> ir.Node:
    codes, *rest = inputs
    attributes = {
        "gather_axis": 0,
        "quantize_axis": 1,
        "bits": packed.bits,
        "block_size": packed.block_size,
    }
    return ir.node(
        "GatherBlockQuantized",
        [codes, node.inputs[1], *rest],
        attributes,
        domain=MICROSOFT,
        name=node.name,
    )


def _register(graph: ir.Graph, matrix: WeightMatrix, packed: PackedMatrix) -> list[ir.Value]:
    """Make the packed arrays initializers, named after the matrix and the way it is used."""
    base, codes = matrix.name, packed.codes
    if matrix.use == "lookup":
        base, codes = f"{base}_table", codes.reshape(packed.columns, -1)
    elif matrix.transposed:
        base = f"{base}_transposed"
    tensors: list[ir.TensorProtocol] = [
        ir.Tensor(codes, name=f"{base}_q{packed.bits}"),
        ir.Tensor(packed.scales, name=f"{base}_scales"),
    ]
    if packed.zero_points is not None:
        tensors.append(ir.Tensor(packed.zero_points, name=f"{base}_zero_points"))
    return [add_constant(graph, tensor) for tensor in tensors]


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
