"""What a quantized graph holds, read back under the names of the float tensors it was made from.

Three ways of storing are known. MatMulNBits and GatherBlockQuantized take packed blocks, from an
initializer NAME_q4 (quantkit) or NAME_Q4 (Olive). ONNX Runtime's dynamic quantization stores
NAME_quantized with one NAME_scale and NAME_zero_point, for MatMulInteger, ConvInteger, Gather and
DynamicQuantizeLSTM. A name gets "transposed" before the suffix where the float tensor was turned.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from quantkit.core.errors import InputError
from quantkit.graph.domains import MICROSOFT
from quantkit.graph.files import load_model
from quantkit.quantize.blocks import FloatArray, QuantizedMatrix
from quantkit.quantize.packing import PackedMatrix, unpack

_BLOCKS = re.compile(r"(_transposed)?_[qQ]\d$")
_WHOLE = re.compile(r"(_Transposed(_\d+)?)?_quantized$")


@dataclass(frozen=True)
class StoredTensor:
    """One float tensor as a graph stores it in few bits.

    Attributes:
        name: of the float tensor.
        bits: 2, 4 or 8.
        block_size: weights that share a scale; None if the whole tensor does.
        shape: (K, N), inputs and outputs; of convolutions and stacks their own.
        transposed: whether the float tensor has the last two axes of `shape` in the other order.
        parts: the initializers: codes, scales and, if there are any, zero points.
        read: gives the stored values in the order of `shape`; an InputError where they are stored
            in a way that is not known here.
    """

    name: str
    bits: int
    block_size: int | None
    shape: tuple[int, ...]
    transposed: bool
    parts: tuple[ir.Value, ...]
    read: Callable[[], QuantizedMatrix | FloatArray]

    @property
    def nbytes(self) -> int:
        """Bytes of all parts."""
        return sum(_tensor(part).nbytes for part in self.parts)

    def dequantize(self) -> FloatArray:
        """The stored values as float32, in the order of `shape`."""
        values = self.read()
        return values.dequantize() if isinstance(values, QuantizedMatrix) else values


def dequantized(path: Path) -> Iterator[tuple[str, QuantizedMatrix | FloatArray]]:
    """Names of float tensors with what a quantized graph stores of them, one at a time.

    Yields:
        A QuantizedMatrix [K, N] where blocks are stored, else float32 in the order of
        `StoredTensor.shape`.

    Raises:
        InputError: the file is no ONNX model, or a tensor is stored in a way not known here.
    """
    for tensor in stored_tensors(load_model(path)):
        yield tensor.name, tensor.read()


def stored_tensors(model: ir.Model) -> list[StoredTensor]:
    """Tensors in few bits in the order of their first use, subgraphs included.

    Raises:
        InputError: codes or scales are not constant, or a tensor has several scales but no blocks.
    """
    found: dict[ir.Value, StoredTensor] = {}
    for node in model.graph.all_nodes():
        for tensor in _stored_by(node):
            found.setdefault(tensor.parts[0], tensor)
    return list(found.values())


def _stored_by(node: ir.Node) -> Iterator[StoredTensor]:
    if node.domain == MICROSOFT and node.op_type == "MatMulNBits":
        yield _blocks(node, node.inputs[1:4], lookup=False)
    elif node.domain == MICROSOFT and node.op_type == "GatherBlockQuantized":
        yield _blocks(node, (node.inputs[0], *node.inputs[2:4]), lookup=True)
    else:
        for value in node.inputs:
            parts = _whole_parts(value)
            if parts:
                yield _whole(node, parts)


def _blocks(node: ir.Node, inputs: Sequence[ir.Value | None], *, lookup: bool) -> StoredTensor:
    parts = tuple(value for value in inputs if value is not None)
    codes, scales, *zero_points = (_tensor(part) for part in parts)
    bits = node.attributes.get_int("bits", 4)
    size = node.attributes.get_int("block_size", 128)
    if lookup:
        columns, width = (int(size) for size in codes.shape.numpy())
        rows = width * 8 // bits
    else:
        columns, rows = node.attributes["N"].as_int(), node.attributes["K"].as_int()
    blocks = -(-rows // size)

    def read() -> QuantizedMatrix:
        types = {tensor.dtype for tensor in (codes, *zero_points)}
        if types != {ir.DataType.UINT8}:
            raise InputError(
                f"{node.op_type} {node.name!r}: found codes and zero points of the types "
                f"{', '.join(sorted(map(str, types)))}; accepted: UINT8"
            )
        flat = codes.numpy().reshape(columns, -1)
        # A table does not store what fills the last block.
        missing = blocks * size * bits // 8 - flat.shape[1]
        packed = PackedMatrix(
            codes=np.pad(flat, ((0, 0), (0, missing))).reshape(columns, blocks, -1),
            scales=np.asarray(scales.numpy(), np.float32).reshape(columns, blocks),
            zero_points=zero_points[0].numpy().reshape(columns, -1) if zero_points else None,
            bits=bits,
            block_size=size,
            rows=rows,
            columns=columns,
        )
        return unpack(packed)

    name, transposed = _float_name(_BLOCKS, parts[0])
    return StoredTensor(name, bits, size, (rows, columns), lookup or transposed, parts, read)


def _whole_parts(value: ir.Value | None) -> tuple[ir.Value, ...]:
    """Codes, scale and zero point if a value is codes of a whole tensor, else nothing."""
    if value is None or value.graph is None or not _WHOLE.search(value.name or ""):
        return ()
    base = (value.name or "").removesuffix("_quantized")
    names = (f"{base}_quantized", f"{base}_scale", f"{base}_zero_point")
    found = [value.graph.initializers.get(name) for name in names]
    parts = tuple(part for part in found if part is not None)
    return parts if len(parts) == len(names) else ()


def _whole(node: ir.Node, parts: tuple[ir.Value, ...]) -> StoredTensor:
    name, transposed = _float_name(_WHOLE, parts[0])
    codes, scale, zero_point = (_tensor(part) for part in parts)
    if scale.size != 1:
        raise InputError(f"{name!r}: found {scale.size} scales; accepted: one for the whole tensor")
    table = node.op_type == "Gather" and len(codes.shape) == 2

    def read() -> FloatArray:
        units = codes.numpy().astype(np.float32) - zero_point.numpy().astype(np.float32)
        values = units * scale.numpy().astype(np.float32)
        return np.ascontiguousarray(values.T if table else values)

    shape = tuple(int(size) for size in codes.shape.numpy())
    transposed = transposed or table or node.op_type == "DynamicQuantizeLSTM"
    return StoredTensor(name, 8, None, shape[::-1] if table else shape, transposed, parts, read)


def _float_name(suffix: re.Pattern[str], value: ir.Value) -> tuple[str, bool]:
    """The name of the float tensor behind one of codes, and whether it was turned."""
    name = value.name or ""
    found = suffix.search(name)
    return (name[: found.start()], found.group(1) is not None) if found else (name, False)


def _tensor(value: ir.Value) -> ir.TensorProtocol:
    if value.const_value is None:
        raise InputError(f"{value.name!r} is computed; codes and scales have to be constant")
    return value.const_value
