"""A weight matrix as integer codes with one scale and one zero point per block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class QuantizedMatrix:
    """Blocks along K of a weight matrix [K, N]; a stored weight is (code - zero point) * scale.

    Attributes:
        codes: uint8 [N, blocks, block size], each below 2**bits. Past K they equal the zero point.
        scales: float32 [N, blocks].
        zero_points: uint8 [N, blocks].
        bits: 2, 4 or 8.
        rows: K, the length of one column before it was padded to whole blocks.
    """

    codes: NDArray[np.uint8]
    scales: FloatArray
    zero_points: NDArray[np.uint8]
    bits: int
    rows: int

    @classmethod
    def empty(cls, weight: FloatArray, bits: int, block_size: int) -> QuantizedMatrix:
        """Arrays of the right shapes for a weight [K, N], to be filled by an algorithm."""
        rows, columns = weight.shape
        blocks = -(-rows // block_size)
        return cls(
            codes=np.empty((columns, blocks, block_size), np.uint8),
            scales=np.empty((columns, blocks), np.float32),
            zero_points=np.empty((columns, blocks), np.uint8),
            bits=bits,
            rows=rows,
        )

    @property
    def block_size(self) -> int:
        """Weights that share a scale."""
        return int(self.codes.shape[2])

    @property
    def columns(self) -> int:
        """N, the number of outputs."""
        return int(self.codes.shape[0])

    def dequantize(self) -> FloatArray:
        """The stored weights, float32 [K, N], bit for bit what the runtime multiplies with."""
        units = self.codes.astype(np.float32) - self.zero_points[:, :, None].astype(np.float32)
        stored = units * self.scales[:, :, None]
        return np.ascontiguousarray(stored.reshape(self.columns, -1)[:, : self.rows].T)

    def block_errors(
        self, weight: FloatArray, importance: NDArray[np.floating] | None = None
    ) -> NDArray[np.float64]:
        """Sum of importance * (stored - weight)^2 over each block, float64 [N, blocks].

        Args:
            weight: float32 [K, N].
            importance: [K] or [K, N]; None weighs all alike.
        """
        rest = self.dequantize().astype(np.float64) - weight
        squared = rest * rest
        if importance is not None:
            wide = np.asarray(importance, np.float64)
            squared *= wide if wide.ndim == 2 else wide[:, None]
        blocks = self.scales.shape[1]
        padded = np.zeros((blocks * self.block_size, self.columns))
        padded[: self.rows] = squared
        return np.asarray(padded.reshape(blocks, self.block_size, -1).sum(axis=1).T)

    def relative_error(self, weight: FloatArray) -> float:
        """Euclidean norm of stored - weight over that of the weight [K, N]; 0 for a zero matrix."""
        from quantkit.quantize.schemes.loops import column_errors

        errors, energies = np.empty((2, self.columns), np.float64)
        column_errors(weight, self.codes, self.scales, self.zero_points, errors, energies)
        energy = float(energies.sum())
        return float(np.sqrt(errors.sum() / energy)) if energy > 0 else 0.0
