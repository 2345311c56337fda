"""Names in a graph: what ONNX Runtime tells values, nodes and operators apart by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx_ir as ir

#: The domain of ONNX Runtime's own operators, which every build of it has.
MICROSOFT = "com.microsoft"


def make_names_unique(model: ir.Model) -> None:
    """Rename values and nodes whose name another one has, in place; most graphs stay as they are.

    Rewrites derive new names from old ones, which a graph may use already. Inputs and outputs of
    the graph keep their names, then constants, then what comes first. What has no name stays so.
    """
    graphs: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for graph in graphs:
        _rename(_values(graph))
        _rename(graph.all_nodes())


def name_nodes(model: ir.Model) -> None:
    """Name the nodes that have no name after their first output, for tools that go by names."""
    for node in model.graph.all_nodes():
        if not node.name and node.outputs:
            node.name = f"{node.op_type}_{node.outputs[0].name}"


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """The name, or with a number the first one that is not taken."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


def _rename(named: Iterable[ir.Value | ir.Node]) -> None:
    numbers: dict[str, int] = {}
    for thing in dict.fromkeys(named):
        if not thing.name:
            continue
        wanted = name = thing.name
        while name in numbers:
            numbers[wanted] += 1
            name = f"{wanted}_{numbers[wanted]}"
        if name != wanted:
            thing.name = name
        numbers[name] = 1


def _values(graph: ir.Graph | ir.Function) -> Iterator[ir.Value]:
    """All values of a graph and its subgraphs, those first that have to keep their names."""
    yield from (*graph.inputs, *graph.outputs)
    for inner in [graph, *graph.subgraphs()]:
        if isinstance(inner, ir.Graph):
            yield from (*inner.inputs, *inner.initializers.values())
    for node in graph.all_nodes():
        yield from node.outputs
