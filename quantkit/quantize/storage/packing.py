"""The storage layout of ONNX Runtime's MatMulNBits.

B is uint8 [N, blocks, block size * bits / 8], low bits first; scales are float32 [N, blocks]; zero
points are uint8 [N, ceil(blocks * bits / 8)], low bits first, rows padded to whole bytes with the
middle code (as ONNX Runtime and Olive fill them). Without zero points the middle code 2^(bits-1)
holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantkit.quantize.storage.blocks import FloatArray, QuantizedMatrix

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class PackedMatrix:
    """The inputs B, scales and zero_points of a MatMulNBits node, and its attributes."""

    codes: Bytes
    scales: FloatArray
    zero_points: Bytes | None
    bits: int
    block_size: int
    rows: int
    columns: int


def pack_bits(values: Bytes, bits: int) -> Bytes:
    """Pack values along the last axis, low bits first, padded to bytes with the middle code."""
    if bits == 8:
        return np.ascontiguousarray(values)
    each = 8 // bits
    missing = -values.shape[-1] % each
    if missing:
        spare = np.full((*values.shape[:-1], missing), 2 ** (bits - 1), np.uint8)
        values = np.concatenate([values, spare], axis=-1)
    packed = values[..., ::each].copy()
    for place in range(1, each):
        packed |= values[..., place::each] << (place * bits)
    return packed


def unpack_bits(packed: Bytes, bits: int, length: int) -> Bytes:
    """Invert pack_bits to the first `length` values of the last axis."""
    if bits == 8:
        return packed[..., :length].copy()
    places = np.arange(0, 8, bits, dtype=np.uint8)
    values = (packed[..., None] >> places) & (2**bits - 1)
    return np.asarray(values.reshape(*packed.shape[:-1], -1)[..., :length], np.uint8)


def pack(matrix: QuantizedMatrix) -> PackedMatrix:
    """Pack a matrix as MatMulNBits stores it; zero points are left out where all are the middle."""
    middle = 2 ** (matrix.bits - 1)
    plain = bool((matrix.zero_points == middle).all())
    return PackedMatrix(
        codes=pack_bits(matrix.codes, matrix.bits),
        scales=matrix.scales,
        zero_points=None if plain else pack_bits(matrix.zero_points, matrix.bits),
        bits=matrix.bits,
        block_size=matrix.block_size,
        rows=matrix.rows,
        columns=matrix.columns,
    )


def unpack(packed: PackedMatrix) -> QuantizedMatrix:
    """Invert pack."""
    blocks = packed.scales.shape[1]
    zero_points = (
        np.full(packed.scales.shape, 2 ** (packed.bits - 1), np.uint8)
        if packed.zero_points is None
        else unpack_bits(packed.zero_points, packed.bits, blocks)
    )
    return QuantizedMatrix(
        codes=unpack_bits(packed.codes, packed.bits, packed.block_size),
        scales=packed.scales,
        zero_points=zero_points,
        bits=packed.bits,
        rows=packed.rows,
    )


def signed(codes: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Codes from 0 to 255 as those from -128 to 127."""
    return np.ascontiguousarray(codes ^ np.uint8(128)).view(np.int8)


def unsigned(codes: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Invert signed."""
    return np.ascontiguousarray(codes).view(np.uint8) ^ np.uint8(128)
