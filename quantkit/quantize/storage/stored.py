"""What a quantized graph holds, read back under the names of the float tensors it was made from.

Four ways of storing are known. MatMulNBits and GatherBlockQuantized take packed blocks, from an
initializer NAME_q4 (quantkit) or NAME_Q4 (Olive); MatMulIntegerToFloat takes int8 columns from
NAME_q8, each with its scale and zero point. ONNX Runtime's dynamic quantization stores
NAME_quantized with one NAME_scale and NAME_zero_point, for MatMulInteger, ConvInteger, Gather and
DynamicQuantizeLSTM. Before the suffix a name may say "table", or "transposed" where the float
tensor was turned.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from quantkit.core.errors import InputError
from quantkit.graph.constants import read_constant
from quantkit.graph.files import load_model
from quantkit.graph.names import MICROSOFT
from quantkit.quantize.storage.blocks import FloatArray, QuantizedMatrix
from quantkit.quantize.storage.integer_product import unsigned
from quantkit.quantize.storage.packing import PackedMatrix, unpack

Parts = Mapping[str, ir.TensorProtocol]

_BLOCKS = re.compile(r"(_transposed|_table)?_[qQ]\d$")
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
        parts: by the names of the initializers: codes, scales and, if there are any, zero points.
        read: gives the stored values in the order of `shape`; an InputError where they are stored
            in a way that is not known here.
    """

    name: str
    bits: int
    block_size: int | None
    shape: tuple[int, ...]
    transposed: bool
    parts: Parts
    read: Callable[[], QuantizedMatrix | FloatArray]

    @property
    def nbytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.nbytes for part in self.parts.values())

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
    """Constants in few bits in the order of their first use, subgraphs included."""
    found: dict[str, StoredTensor] = {}
    for node in model.graph.all_nodes():
        for tensor in _stored_by(node):
            found.setdefault(next(iter(tensor.parts)), tensor)
    return list(found.values())


def _stored_by(node: ir.Node) -> Iterator[StoredTensor]:
    if node.domain == MICROSOFT and node.op_type in {"MatMulNBits", "GatherBlockQuantized"}:
        lookup = node.op_type == "GatherBlockQuantized"
        inputs = (node.inputs[0], *node.inputs[2:4]) if lookup else node.inputs[1:4]
        parts = _constants(inputs)
        if parts:
            yield _blocks(node, parts, lookup=lookup)
    elif node.domain == MICROSOFT and node.op_type == "MatMulIntegerToFloat":
        parts = _constants([node.inputs[1], node.inputs[3], node.inputs[5]])
        if parts:
            yield _columns(parts)
    else:
        for value in node.inputs:
            if value is not None and value.graph is not None and _WHOLE.search(value.name or ""):
                base = (value.name or "").removesuffix("_quantized")
                known = value.graph.initializers
                others = [known.get(f"{base}_{part}") for part in ("scale", "zero_point")]
                parts = _constants([value, *others])
                if len(parts) == 3:
                    yield _whole(node, parts)


def _constants(values: Iterable[ir.Value | None]) -> Parts:
    """The tensors of the values that are there by name; nothing if one of them is computed."""
    there = [value for value in values if value is not None]
    found = {
        value.name: value.const_value
        for value in there
        if value.name is not None and value.const_value is not None
    }
    return found if len(found) == len(there) else {}


def _blocks(node: ir.Node, parts: Parts, *, lookup: bool) -> StoredTensor:
    codes, scales, *zero_points = parts.values()
    bits = node.attributes.get_int("bits", 4)
    size = node.attributes.get_int("block_size", 128)
    if lookup:
        columns, width = (int(axis) for axis in codes.shape.numpy())
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
        flat = read_constant(codes).reshape(columns, -1)
        # A table does not store what fills the last block.
        missing = blocks * size * bits // 8 - flat.shape[1]
        packed = PackedMatrix(
            codes=np.pad(flat, ((0, 0), (0, missing))).reshape(columns, blocks, -1),
            scales=read_constant(scales).astype(np.float32).reshape(columns, blocks),
            zero_points=read_constant(zero_points[0]).reshape(columns, -1) if zero_points else None,
            bits=bits,
            block_size=size,
            rows=rows,
            columns=columns,
        )
        return unpack(packed)

    name, transposed = _float_name(_BLOCKS, next(iter(parts)))
    return StoredTensor(name, bits, size, (rows, columns), lookup or transposed, parts, read)


def _columns(parts: Parts) -> StoredTensor:
    codes, scales, zero_points = parts.values()
    rows, columns = (int(axis) for axis in codes.shape.numpy())

    def read() -> QuantizedMatrix:
        return QuantizedMatrix(
            codes=unsigned(read_constant(codes).T)[:, None],
            scales=read_constant(scales)[:, None],
            zero_points=unsigned(read_constant(zero_points))[:, None],
            bits=8,
            rows=rows,
        )

    name, transposed = _float_name(_BLOCKS, next(iter(parts)))
    return StoredTensor(name, 8, rows, (rows, columns), transposed, parts, read)


def _whole(node: ir.Node, parts: Parts) -> StoredTensor:
    name, transposed = _float_name(_WHOLE, next(iter(parts)))
    codes, scale, zero_point = parts.values()
    table = node.op_type == "Gather" and len(codes.shape) == 2

    def read() -> FloatArray:
        if scale.size != 1:
            raise InputError(f"{name!r}: found {scale.size} scales; accepted: one for all values")
        zero = read_constant(zero_point).astype(np.float32)
        values = (read_constant(codes).astype(np.float32) - zero) * read_constant(scale)
        return np.ascontiguousarray(values.T if table else values)

    shape = tuple(int(size) for size in codes.shape.numpy())
    transposed = transposed or table or node.op_type == "DynamicQuantizeLSTM"
    return StoredTensor(name, 8, None, shape[::-1] if table else shape, transposed, parts, read)


def _float_name(suffix: re.Pattern[str], name: str) -> tuple[str, bool]:
    """The name of the float tensor behind one of codes, and whether it was turned."""
    found = suffix.search(name)
    return (name[: found.start()], found.group(1) is not None) if found else (name, False)
