"""Causal convolutions with their channels first, as ONNX Runtime has them since they exist.

The native runtime takes them time-major, which ONNX Runtime learned in 1.32. Other runtimes bring
an older ONNX Runtime of their own.
"""

from __future__ import annotations

import onnx_ir as ir

from quantkit.graph.names import MICROSOFT

_TURNED = [0, 2, 1]


def put_channels_first(model: ir.Model) -> int:
    """Turn every time-major CausalConvWithState in place; returns how many.

    Its frames are turned before and after it. Its caches are [B, C, K - 1] from then on, and have
    to be fed so.
    """
    found = [
        node
        for node in model.graph
        if node.op_type == "CausalConvWithState"
        and node.domain == MICROSOFT
        and node.attributes.get_int("channels_last") == 1
    ]
    for node in found:
        _turn(model.graph, node)
    return len(found)


def _turn(graph: ir.Graph, node: ir.Node) -> None:
    frames, *rest = node.inputs
    out, state = node.outputs
    kept = [
        attribute for attribute in node.attributes.values() if attribute.name != "channels_last"
    ]
    before = ir.node("Transpose", [frames], {"perm": _TURNED}, name=f"{node.name}_before")
    turned = ir.Node(
        MICROSOFT, node.op_type, [before.outputs[0], *rest], kept, num_outputs=2, name=node.name
    )
    after = ir.node("Transpose", [turned.outputs[0]], {"perm": _TURNED}, name=f"{node.name}_after")
    before.outputs[0].name, turned.outputs[0].name = f"{out.name}_before", f"{out.name}_turned"
    ir.convenience.replace_nodes_and_values(
        graph,
        node,
        [node],
        [before, turned, after],
        node.outputs,
        [after.outputs[0], turned.outputs[1]],
    )
    if state.shape is not None:
        turned.outputs[1].shape = ir.Shape([state.shape[axis] for axis in _TURNED])
