"""Compiled inner loops over blocks of weights.

Layout: a weight matrix is [K, N] as MatMul stores it, and blocks run along K. So the N direction is
contiguous, and LANES neighbouring columns are worked on side by side: each lane is one block with its
own scale and zero point and adds its own numbers in order. That vectorises without reordering a sum.

A grid is (scale, zero point); the code of x on it is clip(rint(x / scale) + zero point, 0, top), and
the number stored is (code - zero point) * scale, with the scale rounded to float32.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from quantkit.quantize.compiled import parallel, serial

LANES = 64

Float = np.float32 | np.float64
Lanes = NDArray[Float]

# Rows of the state of LANES grids under test.
SCALE, INVERSE, ZERO, ERROR, SLOPE, CURVE = range(6)


@serial
def measure(x: Lanes, a: Lanes, state: Lanes, limits: Lanes) -> None:
    """Score LANES grids on their blocks.

    Args:
        x: weights [size, LANES].
        a: importance [size, LANES].
        state: [6 * LANES]; SCALE, INVERSE (of the scale) and ZERO are read. ERROR becomes
            sum a (x - scale u)^2 with u = code - zero point, SLOPE sum a u (x - scale u) and CURVE
            sum a u^2: the best scale for these codes is scale + SLOPE / CURVE.
        limits: [0, top] in the type of x.
    """
    low, top = limits[0], limits[1]
    for lane in range(LANES):
        state[ERROR * LANES + lane] = low
        state[SLOPE * LANES + lane] = low
        state[CURVE * LANES + lane] = low
    for j in range(x.shape[0]):
        for lane in range(LANES):
            value = x[j, lane]
            weight = a[j, lane]
            zero = state[ZERO * LANES + lane]
            code = value * state[INVERSE * LANES + lane] + zero
            code = code if code > low else low
            code = code if code < top else top
            unit = np.rint(code) - zero
            rest = value - state[SCALE * LANES + lane] * unit
            weighted = weight * unit
            state[ERROR * LANES + lane] += weight * rest * rest
            state[SLOPE * LANES + lane] += weighted * rest
            state[CURVE * LANES + lane] += weighted * unit


@serial
def load(weight: NDArray[np.float32], first: int, column: int, x: Lanes) -> None:
    """Copy rows `first`... and columns `column`... of the matrix; what lies outside is zero."""
    rows = min(x.shape[0], weight.shape[0] - first)
    columns = min(LANES, weight.shape[1] - column)
    x[:] = 0.0
    for j in range(rows):
        for lane in range(columns):
            x[j, lane] = weight[first + j, column + lane]


@serial
def extremes(x: Lanes, lowest: Lanes, highest: Lanes) -> None:
    """Range of each lane, widened to contain zero."""
    lowest[:] = 0.0
    highest[:] = 0.0
    for j in range(x.shape[0]):
        for lane in range(LANES):
            value = x[j, lane]
            lowest[lane] = value if value < lowest[lane] else lowest[lane]
            highest[lane] = value if value > highest[lane] else highest[lane]


@serial
def asymmetric_grid(lowest: float, highest: float, top: int) -> tuple[float, float]:
    """Grid of round-to-nearest: the whole range on top + 1 codes, zero on a code."""
    scale = np.float64(np.float32((highest - lowest) / top))
    if scale == 0.0:
        return 0.0, np.float64((top + 1) // 2)
    return scale, min(max(np.rint(-lowest / scale), 0.0), np.float64(top))


@serial
def symmetric_grid(lowest: float, highest: float, top: int) -> tuple[float, float]:
    """Grid around the middle code that puts the value of largest magnitude on the outermost code.

    As in ONNX Runtime's own block quantizer the scale is negative where that value is positive: the
    middle code has one more code below it than above.
    """
    middle = (top + 1) // 2
    extreme = lowest if -lowest > highest else highest
    return np.float64(np.float32(-extreme / middle)), np.float64(middle)


@serial
def mirrored(scale: float, zero: float, top: int) -> tuple[float, float]:
    """Write the same grid with a positive scale."""
    return (-scale, top - zero) if scale < 0.0 else (scale, zero)


@serial
def set_grid(state: Lanes, lane: int, scale: float, zero: float) -> None:
    """Put a grid into a lane. A scale of zero stores zeros: all codes are the zero point."""
    state[SCALE * LANES + lane] = scale
    state[INVERSE * LANES + lane] = 1.0 / scale if scale != 0.0 else 0.0
    state[ZERO * LANES + lane] = zero


@serial
def store(
    x: Lanes,
    state: Lanes,
    limits: Lanes,
    block: int,
    column: int,
    codes: NDArray[np.uint8],
    scales: NDArray[np.float32],
    zero_points: NDArray[np.uint8],
) -> None:
    """Write codes, scale and zero point of the lanes that are columns of the matrix."""
    low, top = limits[0], limits[1]
    for lane in range(min(LANES, codes.shape[0] - column)):
        zero = state[ZERO * LANES + lane]
        inverse = state[INVERSE * LANES + lane]
        scales[column + lane, block] = state[SCALE * LANES + lane]
        zero_points[column + lane, block] = np.uint8(zero)
        for j in range(x.shape[0]):
            code = x[j, lane] * inverse + zero
            code = min(max(code, low), top)
            codes[column + lane, block, j] = np.uint8(np.rint(code))


@parallel
def round_to_nearest(
    weight: NDArray[np.float32],
    symmetric: bool,  # noqa: FBT001
    top: int,
    codes: NDArray[np.uint8],
    scales: NDArray[np.float32],
    zero_points: NDArray[np.uint8],
) -> None:
    """Quantize weight [K, N] into codes [N, blocks, size], scales and zero points [N, blocks]."""
    blocks, size = codes.shape[1], codes.shape[2]
    tiles = math.ceil(weight.shape[1] / LANES)
    for index in prange(tiles * blocks):
        column, block = index // blocks * LANES, index % blocks
        x = np.empty((size, LANES), np.float64)
        state = np.zeros(6 * LANES, np.float64)
        lowest = np.empty(LANES, np.float64)
        highest = np.empty(LANES, np.float64)
        load(weight, block * size, column, x)
        extremes(x, lowest, highest)
        for lane in range(LANES):
            if symmetric:
                scale, zero = symmetric_grid(lowest[lane], highest[lane], top)
            else:
                scale, zero = asymmetric_grid(lowest[lane], highest[lane], top)
            set_grid(state, lane, scale, zero)
        limits = np.array([0.0, top], np.float64)
        store(x, state, limits, block, column, codes, scales, zero_points)


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
    for tile in prange(math.ceil(columns / LANES)):
        for block in range(codes.shape[1]):
            first = block * size
            for column in range(tile * LANES, min((tile + 1) * LANES, columns)):
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
