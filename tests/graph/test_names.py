from __future__ import annotations

import onnx_ir as ir

from quantkit.graph.names import make_names_unique, name_nodes


def model_of(*nodes: ir.Node, inputs: tuple[ir.Value, ...]) -> ir.Model:
    outputs = nodes[-1].outputs
    graph = ir.Graph(inputs, outputs, nodes=nodes, opset_imports={"": 21}, name="g")
    return ir.Model(graph, ir_version=10)


def test_ports_keep_their_names_and_the_rest_gives_way() -> None:
    x = ir.Value(name="x")
    first = ir.node("Relu", [x], name="n", outputs=[ir.Value(name="y")])
    second = ir.node("Relu", first.outputs, name="n", outputs=[ir.Value(name="x")])
    last = ir.node("Relu", second.outputs, name="n_2", outputs=[ir.Value(name="y")])
    model = model_of(first, second, last, inputs=(x,))
    make_names_unique(model)
    assert [value.name for value in (x, *last.outputs)] == ["x", "y"]
    names = [node.outputs[0].name for node in model.graph]
    assert names == ["y_2", "x_2", "y"]
    assert [node.name for node in model.graph] == ["n", "n_2", "n_2_2"]


def test_unique_names_and_absent_ones_stay() -> None:
    x = ir.Value(name="x")
    first = ir.node("Relu", [x], outputs=[ir.Value(name="a")])
    second = ir.node("Relu", first.outputs, outputs=[ir.Value(name="y")])
    model = model_of(first, second, inputs=(x,))
    first.name = second.name = ""
    make_names_unique(model)
    assert [node.name for node in model.graph] == ["", ""]
    assert [node.outputs[0].name for node in model.graph] == ["a", "y"]
    name_nodes(model)
    assert [node.name for node in model.graph] == ["Relu_a", "Relu_y"]
