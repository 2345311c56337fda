"""Compiled inner loops over blocks of weights.

Layout: a weight matrix is [K, N] as MatMul stores it, and blocks run along K. So the N direction is
contiguous, and LANES neighbouring columns are worked on side by side: each lane is one block with
its own scale and zero point and adds its own numbers in order. That vectorises without reordering
a sum.

A grid is (scale, zero point); the code of x on it is rint(clip(x / scale + zero point, 0, top)),
and the number stored is (code - zero point) * scale, with the scale rounded to float32.

All of it is in one file because numba's cache only notices changes of the file that holds a loop.
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

# What a search is told about importance: all weights alike, block RMS + |w|, or one number per row.
NONE, WEIGHT, GIVEN = range(3)

# Rows of the best grids so far.
BEST_SCALE, BEST_ZERO, BEST_ERROR = range(3)


@serial
def measure(x: Lanes, a: Lanes, state: Lanes, limits: Lanes) -> None:
    """Score LANES grids on their blocks.

    Args:
        x: weights [size, LANES].
        a: importance [size, LANES].
        state: [6 * LANES]; SCALE, INVERSE (of the scale) and ZERO are read. ERROR becomes
            sum a (x - scale u)^2 with u = code - zero point and scale u in float32, as the runtime
            has it; SLOPE sum a u (x - scale u) and CURVE sum a u^2: the best scale for these codes
            is scale + SLOPE / CURVE.
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
            code = min(max(code, low), top)
            unit = np.rint(code) - zero
            rest = value - np.float32(state[SCALE * LANES + lane] * unit)
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
            lowest[lane] = min(lowest[lane], value)
            highest[lane] = max(highest[lane], value)


@serial
def asymmetric_grid(lowest: float, highest: float, top: float) -> tuple[float, float]:
    """Grid of round-to-nearest: the whole range on top + 1 codes, zero on a code."""
    scale = np.float64(np.float32((highest - lowest) / top))
    if scale == 0.0:
        return 0.0, (top + 1.0) / 2.0
    return scale, min(max(np.rint(-lowest / scale), 0.0), top)


@serial
def symmetric_grid(lowest: float, highest: float, top: float) -> tuple[float, float]:
    """Grid around the middle code that puts the value of largest magnitude on the outermost code.

    As in ONNX Runtime's own block quantizer the scale is negative where that value is positive: the
    middle code has one more code below it than above.
    """
    middle = (top + 1.0) / 2.0
    extreme = lowest if -lowest > highest else highest
    return np.float64(np.float32(-extreme / middle)), middle


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
    top: float,
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


@serial
def weigh(x: Lanes, importance: NDArray[np.float64], kind: int, first: int, a: Lanes) -> None:
    """Importance of each weight of a tile: 1, or block RMS + |w|, or as given per row."""
    size = x.shape[0]
    if kind == WEIGHT:
        for lane in range(LANES):
            a[0, lane] = 0.0
        for j in range(size):
            for lane in range(LANES):
                a[0, lane] += x[j, lane] * x[j, lane]
        for lane in range(LANES):
            rms = math.sqrt(a[0, lane] / size)
            for j in range(size):
                a[j, lane] = rms + abs(x[j, lane])
        return
    for j in range(size):
        row = 1.0
        if kind == GIVEN:
            row = importance[first + j] if first + j < importance.shape[0] else 0.0
        for lane in range(LANES):
            a[j, lane] = row


@serial
def normalise(x: Lanes, a: Lanes, unit: Lanes, x_search: Lanes, a_search: Lanes) -> None:
    """Float32 copies for the search, each lane scaled to the order of 1.

    The weights are scaled by a power of two, `unit`, so that denormal and huge blocks search like
    any other; importance by its largest value, and lifted a little off zero so that a weight that
    calibration never saw is not thrown to the far end of the grid.
    """
    for lane in range(LANES):
        largest = 0.0
        heaviest = 0.0
        for j in range(x.shape[0]):
            largest = max(largest, abs(x[j, lane]))
            heaviest = max(heaviest, a[j, lane])
        unit[lane] = math.ldexp(1.0, math.frexp(largest)[1])
        down = 1.0 / unit[lane]
        factor = 1.0 / heaviest if heaviest > 0.0 else 0.0
        for j in range(x.shape[0]):
            x_search[j, lane] = x[j, lane] * down
            a_search[j, lane] = a[j, lane] * factor + 1e-5


@serial
def keep_refitted(state: Lanes, best: Lanes, limits: Lanes) -> None:
    """Keep each lane's grid, with the scale that suits its codes best, where that is better."""
    for lane in range(LANES):
        curve = state[CURVE * LANES + lane]
        slope = state[SLOPE * LANES + lane]
        step = slope / curve if curve > limits[0] else limits[0]
        scale = state[SCALE * LANES + lane] + step
        error = state[ERROR * LANES + lane] - slope * step
        if error < best[BEST_ERROR * LANES + lane] and scale > limits[0]:
            best[BEST_SCALE * LANES + lane] = scale
            best[BEST_ZERO * LANES + lane] = state[ZERO * LANES + lane]
            best[BEST_ERROR * LANES + lane] = error


@serial
def keep_stored(state: Lanes, best: Lanes) -> None:
    """Keep each lane's grid as it stands where it is better."""
    for lane in range(LANES):
        if state[ERROR * LANES + lane] < best[BEST_ERROR * LANES + lane]:
            best[BEST_SCALE * LANES + lane] = state[SCALE * LANES + lane]
            best[BEST_ZERO * LANES + lane] = state[ZERO * LANES + lane]
            best[BEST_ERROR * LANES + lane] = state[ERROR * LANES + lane]


@serial
def search_grids(
    x: Lanes,
    a: Lanes,
    lowest: Lanes,
    highest: Lanes,
    unit: Lanes,
    clips: NDArray[np.float32],
    offsets: NDArray[np.float32],
    rounds: int,
    state: Lanes,
    best: Lanes,
    limits: Lanes,
) -> None:
    """Try every clip factor with every zero point in float32, then round and refit the best."""
    low, top = limits[0], limits[1]
    scales = np.empty(LANES, x.dtype)
    zeros = np.empty(LANES, x.dtype)
    for lane in range(LANES):
        scale, zero = asymmetric_grid(lowest[lane] / unit[lane], highest[lane] / unit[lane], top)
        scales[lane] = scale
        zeros[lane] = zero
        best[BEST_ERROR * LANES + lane] = np.inf
        best[BEST_SCALE * LANES + lane] = scale
        best[BEST_ZERO * LANES + lane] = zero
    for clip in clips:
        for offset in offsets:
            for lane in range(LANES):
                zero = min(max(zeros[lane] + offset, low), top)
                set_grid(state, lane, scales[lane] * clip, zero)
            measure(x, a, state, limits)
            keep_refitted(state, best, limits)
    for _ in range(rounds):
        for lane in range(LANES):
            set_grid(state, lane, best[BEST_SCALE * LANES + lane], best[BEST_ZERO * LANES + lane])
        measure(x, a, state, limits)
        keep_refitted(state, best, limits)


@serial
def choose_stored(
    x: Lanes,
    a: Lanes,
    lowest: Lanes,
    highest: Lanes,
    found: Lanes,
    unit: Lanes,
    state: Lanes,
    best: Lanes,
    limits: Lanes,
) -> None:
    """Score in float64 what would be stored: the grid found, refitted, and both round-to-nearest.

    Leaves the winner of each lane in `state`.
    """
    top = limits[1]
    best[:] = np.inf
    for lane in range(LANES):
        scale = np.float32(found[BEST_SCALE * LANES + lane] * unit[lane])
        set_grid(state, lane, np.float64(scale), found[BEST_ZERO * LANES + lane])
    measure(x, a, state, limits)
    keep_stored(state, best)
    for lane in range(LANES):
        curve = state[CURVE * LANES + lane]
        step = state[SLOPE * LANES + lane] / curve if curve > 0.0 else 0.0
        scale = np.float32(state[SCALE * LANES + lane] + step)
        set_grid(state, lane, np.float64(scale), state[ZERO * LANES + lane])
    measure(x, a, state, limits)
    keep_stored(state, best)
    for lane in range(LANES):
        rtn_scale, rtn_zero = asymmetric_grid(lowest[lane], highest[lane], top)
        set_grid(state, lane, rtn_scale, rtn_zero)
    measure(x, a, state, limits)
    keep_stored(state, best)
    for lane in range(LANES):
        rtn_scale, rtn_zero = symmetric_grid(lowest[lane], highest[lane], top)
        if rtn_scale < 0.0:
            rtn_scale, rtn_zero = -rtn_scale, top - rtn_zero
        set_grid(state, lane, rtn_scale, rtn_zero)
    measure(x, a, state, limits)
    keep_stored(state, best)
    for lane in range(LANES):
        set_grid(state, lane, best[BEST_SCALE * LANES + lane], best[BEST_ZERO * LANES + lane])


@parallel
def search(
    weight: NDArray[np.float32],
    importance: NDArray[np.float64],
    kind: int,
    clips: NDArray[np.float32],
    offsets: NDArray[np.float32],
    rounds: int,
    top: float,
    codes: NDArray[np.uint8],
    scales: NDArray[np.float32],
    zero_points: NDArray[np.uint8],
) -> None:
    """Quantize weight [K, N] into codes [N, blocks, size], scales and zero points [N, blocks].

    `kind` says what importance is: NONE, WEIGHT (block RMS + |w|) or GIVEN (one number per row).
    """
    blocks, size = codes.shape[1], codes.shape[2]
    tiles = math.ceil(weight.shape[1] / LANES)
    for index in prange(tiles * blocks):
        column, block = index // blocks * LANES, index % blocks
        x = np.empty((size, LANES), np.float64)
        a = np.empty((size, LANES), np.float64)
        lowest = np.empty(LANES, np.float64)
        highest = np.empty(LANES, np.float64)
        unit = np.empty(LANES, np.float64)
        load(weight, block * size, column, x)
        extremes(x, lowest, highest)
        weigh(x, importance, kind, block * size, a)

        x_search = np.empty((size, LANES), np.float32)
        a_search = np.empty((size, LANES), np.float32)
        state_search = np.zeros(6 * LANES, np.float32)
        best_search = np.zeros(3 * LANES, np.float32)
        normalise(x, a, unit, x_search, a_search)
        limits_search = np.array([0.0, top], np.float32)
        search_grids(
            x_search, a_search, lowest, highest, unit, clips, offsets, rounds,
            state_search, best_search, limits_search,
        )  # fmt: skip

        state = np.zeros(6 * LANES, np.float64)
        best = np.empty(3 * LANES, np.float64)
        limits = np.array([0.0, top], np.float64)
        choose_stored(x, a, lowest, highest, best_search, unit, state, best, limits)
        store(x, state, limits, block, column, codes, scales, zero_points)
