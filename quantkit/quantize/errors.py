"""Compiled distance between weights and what is stored of them."""

from __future__ import annotations

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from quantkit.quantize.compiled import parallel

# Columns that one thread takes: few enough for their weights of one block to stay in cache.
COLUMNS = 64


@parallel
def column_errors(
    weight: NDArray[np.float32],
    codes: NDArray[np.uint8],
    scales: NDArray[np.float32],
    zero_points: NDArray[np.uint8],
    errors: NDArray[np.float64],
    energies: NDArray[np.float64],
) -> None:
    """Sum (stored - weight)^2 and weight^2 down each column of weight [K, N], into [N]."""
    rows, columns = weight.shape
    size = codes.shape[2]
    errors[:] = 0.0
    energies[:] = 0.0
    for tile in prange(math.ceil(columns / COLUMNS)):
        for block in range(codes.shape[1]):
            first = block * size
            for column in range(tile * COLUMNS, min((tile + 1) * COLUMNS, columns)):
                scale = scales[column, block]
                zero = np.float32(zero_points[column, block])
                error = 0.0
                energy = 0.0
                for j in range(min(size, rows - first)):
                    value = np.float64(weight[first + j, column])
                    stored = (np.float32(codes[column, block, j]) - zero) * scale
                    rest = np.float64(stored) - value
                    error += rest * rest
                    energy += value * value
                errors[column] += error
                energies[column] += energy
