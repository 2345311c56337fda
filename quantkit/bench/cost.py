"""What an encoder step costs on any machine: multiply-adds, and bytes that pass through memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import onnx_ir as ir

from quantkit.bench.ports import Port, Ports
from quantkit.bench.profile import Kernel
from quantkit.graph.files import load_model


def multiply_adds(step: Sequence[Kernel]) -> int:
    """Multiply-adds of one step's matrix products, convolutions and attention.

    Counted from the shapes that the runtime saw, so that what it has folded away costs nothing.
    Element-wise operators, norms and softmax are left out.
    """
    return sum(_COUNTED[kernel.op](kernel) for kernel in step if kernel.op in _COUNTED)


def step_bytes(graph: Path, ports: Ports) -> int:
    """Bytes that a step has to move: each weight once, as stored, and the caches in and out.

    Of a cache that is updated in place only the way in counts.

    Raises:
        InputError: the graph or a file of its weights is missing.
    """
    kept = {ports.states[name] for name in ports.rings}
    caches = {*ports.states, *ports.states.values()} - kept
    moved = [port for port in (*ports.inputs, *ports.outputs) if port.name in caches]
    return sum(t.nbytes for t in _weights(load_model(graph))) + sum(map(_port_bytes, moved))


def _weights(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    for value in model.graph.initializers.values():
        if value.const_value is not None:
            yield value.const_value
    for node in model.graph:
        if node.op_type == "Constant" and "value" in node.attributes:
            yield node.attributes["value"].as_tensor()


def _port_bytes(port: Port) -> int:
    return math.prod(port.shape) * port.type().nbytes


def _product(kernel: Kernel) -> int:
    """Of [..., M, K] by [..., K, N], or with the first factor transposed."""
    first, result = kernel.inputs[0], kernel.outputs[0]
    inner = math.prod(first[-2:]) // math.prod(result[-2:-1])
    return math.prod(result) * inner


def _convolution(kernel: Kernel) -> int:
    """Of a kernel [output channels, input channels of a group, ...]."""
    return math.prod(kernel.outputs[0]) * math.prod(kernel.inputs[1][1:])


def _attention(kernel: Kernel) -> int:
    """Scores and weighted sums; keys [..., S, d], or those that come out joined to past ones."""
    query, result = kernel.inputs[0], kernel.outputs[0]
    keys = max(shape[-2] for shape in (kernel.inputs[1], *kernel.outputs[1:2]))
    return (math.prod(query) + math.prod(result)) * keys


_COUNTED: dict[str, Callable[[Kernel], int]] = {
    "MatMul": _product,
    "FusedMatMul": _product,
    "Gemm": _product,
    "FusedGemm": _product,
    "MatMulNBits": _product,
    "MatMulInteger": _product,
    "MatMulIntegerToFloat": _product,
    "DynamicQuantizeMatMul": _product,
    "Conv": _convolution,
    "FusedConv": _convolution,
    "ConvInteger": _convolution,
    "CausalConvWithState": _convolution,
    "MultiHeadAttention": _attention,
    "Attention": _attention,
}
