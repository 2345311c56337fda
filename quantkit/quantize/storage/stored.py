"""What a quantized graph holds, read back under the names of the float tensors it was made from.

Four ways of storing are known. MatMulNBits and GatherBlockQuantized take packed blocks,
MatMulIntegerToFloat int8 columns with a scale and a zero point each. ONNX Runtime's dynamic
quantization has one scale for NAME_quantized, in MatMulInteger, ConvInteger, Gather and
DynamicQuantizeLSTM.

The metadata of the codes say which float tensor they were made from. Where there are none, as in
older artifacts and in other tools' files, their name does: NAME_q4 (quantkit), NAME_Q4 (Olive) or
NAME_quantized, with "table" or "transposed" before the suffix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from quantkit.core.errors import InputError
from quantkit.graph.constants import read_constant
from quantkit.graph.files import load_model
from quantkit.graph.names import MICROSOFT
from quantkit.quantize.storage.blocks import FloatArray, QuantizedMatrix
from quantkit.quantize.storage.packing import PackedMatrix, unpack, unsigned

#: Keys of the metadata of codes: the float tensor's name, and whether it was turned.
SOURCE, TRANSPOSED = "quantkit.source", "quantkit.transposed"

_SUFFIX = re.compile(r"(?:_[qQ]\d|_quantized)$")
_SUFFIX_AND_USE = re.compile(r"(_transposed|_table)?_[qQ]\d$|(_Transposed(?:_\d+)?)?_quantized$")


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
        return sum(tensor.nbytes for tensor in _tensors(self.parts))

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
    stored: dict[ir.Value, StoredTensor] = {}
    for node in model.graph.all_nodes():
        for tensor in _stored_by(node):
            stored.setdefault(tensor.parts[0], tensor)
    return list(stored.values())


def record_source(codes: ir.Value, name: str, *, transposed: bool) -> None:
    """Write into the metadata of codes which float tensor they were made from."""
    codes.metadata_props[SOURCE] = name
    if transposed:
        codes.metadata_props[TRANSPOSED] = "true"


def record_sources(model: ir.Model, floats: Container[str]) -> None:
    """Write into the metadata of what another tool stored which of some float tensors it was."""
    for stored in stored_tensors(model):
        plain = _SUFFIX.sub("", str(stored.parts[0].name))
        if plain in floats:
            record_source(stored.parts[0], plain, transposed=False)
        elif stored.name in floats:
            record_source(stored.parts[0], stored.name, transposed=stored.transposed)


def _source(codes: ir.Value) -> tuple[str, bool]:
    """The name of the float tensor behind codes, and whether it was turned."""
    if SOURCE in codes.metadata_props:
        return codes.metadata_props[SOURCE], TRANSPOSED in codes.metadata_props
    use = _SUFFIX_AND_USE.search(str(codes.name))
    return _SUFFIX_AND_USE.sub("", str(codes.name)), use is not None and any(use.groups())


def _stored_by(node: ir.Node) -> Iterator[StoredTensor]:
    if node.domain == MICROSOFT and node.op_type in {"MatMulNBits", "GatherBlockQuantized"}:
        lookup = node.op_type == "GatherBlockQuantized"
        inputs = (node.inputs[0], *node.inputs[2:4]) if lookup else node.inputs[1:4]
        if parts := _constants(inputs, 2):
            yield _blocks(node, parts, lookup=lookup)
    elif node.domain == MICROSOFT and node.op_type == "MatMulIntegerToFloat":
        if parts := _constants(node.inputs[1:6:2], 3):
            yield _columns(parts)
    else:
        for value in node.inputs:
            name = "" if value is None else str(value.name)
            if value is not None and value.graph is not None and name.endswith("_quantized"):
                base, known = name.removesuffix("_quantized"), value.graph.initializers
                others = (known.get(f"{base}_scale"), known.get(f"{base}_zero_point"))
                if parts := _constants([value, *others], 3):
                    yield _whole(node, parts)


def _constants(values: Iterable[ir.Value | None], least: int) -> tuple[ir.Value, ...]:
    """The values that are there; none if one of them is computed, or they are fewer than so."""
    there = tuple(value for value in values if value is not None)
    constant = all(value.const_value is not None for value in there)
    return there if constant and len(there) >= least else ()


def _tensors(parts: Iterable[ir.Value]) -> list[ir.TensorProtocol]:
    return [part.const_value for part in parts if part.const_value is not None]


def _blocks(node: ir.Node, parts: tuple[ir.Value, ...], *, lookup: bool) -> StoredTensor:
    codes, scales, *zero_points = _tensors(parts)
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

    name, transposed = _source(parts[0])
    return StoredTensor(name, bits, size, (rows, columns), lookup or transposed, parts, read)


def _columns(parts: tuple[ir.Value, ...]) -> StoredTensor:
    codes, scales, zero_points = _tensors(parts)
    rows, columns = (int(axis) for axis in codes.shape.numpy())

    def read() -> QuantizedMatrix:
        return QuantizedMatrix(
            codes=unsigned(read_constant(codes).T)[:, None],
            scales=read_constant(scales)[:, None],
            zero_points=unsigned(read_constant(zero_points))[:, None],
            bits=8,
            rows=rows,
        )

    name, transposed = _source(parts[0])
    return StoredTensor(name, 8, rows, (rows, columns), transposed, parts, read)


def _whole(node: ir.Node, parts: tuple[ir.Value, ...]) -> StoredTensor:
    name, transposed = _source(parts[0])
    codes, scale, zero_point = _tensors(parts)
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
