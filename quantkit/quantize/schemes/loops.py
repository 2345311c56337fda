"""Compiled inner loops over blocks of weights.

Layout: a weight matrix is [K, N] as MatMul stores it, and blocks run along K. So the N direction is
contiguous, and LANES neighboring columns are worked on side by side: each lane is one block with
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

from quantkit.quantize.schemes.compiled import parallel, serial

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
def span_range(x: Lanes, symmetric: bool, top: float, state: Lanes) -> None:  # noqa: FBT001
    """Leave the grid of round-to-nearest of each lane of x [size, LANES] in `state`."""
    lowest = np.empty(LANES, np.float64)
    highest = np.empty(LANES, np.float64)
    extremes(x, lowest, highest)
    for lane in range(LANES):
        if symmetric:
            scale, zero = symmetric_grid(lowest[lane], highest[lane], top)
        else:
            scale, zero = asymmetric_grid(lowest[lane], highest[lane], top)
        set_grid(state, lane, scale, zero)


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
        load(weight, block * size, column, x)
        span_range(x, symmetric, top, state)
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
def normalize(x: Lanes, a: Lanes, unit: Lanes, x_search: Lanes, a_search: Lanes) -> None:
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


@serial
def best_grid(
    x: Lanes,
    a: Lanes,
    clips: NDArray[np.float32],
    offsets: NDArray[np.float32],
    rounds: int,
    state: Lanes,
    limits: Lanes,
) -> None:
    """Leave the grid in `state` on which each lane of x [size, LANES] costs least when stored."""
    size = x.shape[0]
    lowest = np.empty(LANES, np.float64)
    highest = np.empty(LANES, np.float64)
    unit = np.empty(LANES, np.float64)
    extremes(x, lowest, highest)

    x_search = np.empty((size, LANES), np.float32)
    a_search = np.empty((size, LANES), np.float32)
    state_search = np.zeros(6 * LANES, np.float32)
    best_search = np.zeros(3 * LANES, np.float32)
    normalize(x, a, unit, x_search, a_search)
    limits_search = limits.astype(np.float32)
    search_grids(
        x_search, a_search, lowest, highest, unit, clips, offsets, rounds,
        state_search, best_search, limits_search,
    )  # fmt: skip

    best = np.empty(3 * LANES, np.float64)
    choose_stored(x, a, lowest, highest, best_search, unit, state, best, limits)


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
        state = np.zeros(6 * LANES, np.float64)
        limits = np.array([0.0, top], np.float64)
        load(weight, block * size, column, x)
        weigh(x, importance, kind, block * size, a)
        best_grid(x, a, clips, offsets, rounds, state, limits)
        store(x, state, limits, block, column, codes, scales, zero_points)


@serial
def add_products(
    factors: NDArray[np.float32], first: int, errors: NDArray[np.float32], sums: Lanes
) -> None:
    """Add sum_j factors[i, j] errors[j] over j from `first` on to row i of sums [rows, LANES]."""
    for i in range(sums.shape[0]):
        for j in range(first, errors.shape[0]):
            factor = factors[i, j]
            for lane in range(LANES):
                sums[i, lane] += factor * errors[j, lane]


@serial
def compensated(
    weights: Lanes, carried: Lanes, inside: NDArray[np.float32], order: NDArray[np.int64], x: Lanes
) -> None:
    """What the rows of a block should be if none of them were rounded: weights + R^-1 carried.

    Args:
        weights: [size, LANES], in stored order.
        carried: R e over the rows outside, [rows, LANES], in the order of rounding.
        inside: R of the block, upper triangular [rows, rows].
        order: stored row of each row of R, int64 [rows].
        x: [size, LANES] in stored order; becomes the result.
    """
    x[:] = weights
    for i in range(len(order) - 1, -1, -1):
        for lane in range(LANES):
            total = carried[i, lane]
            for j in range(i + 1, len(order)):
                row = order[j]
                total -= inside[i, j] * (x[row, lane] - weights[row, lane])
            x[order[i], lane] += total / inside[i, i]


@serial
def round_in_turn(
    weights: Lanes,
    carried: Lanes,
    inside: NDArray[np.float32],
    order: NDArray[np.int64],
    state: Lanes,
    top: float,
    errors: Lanes,
    rounded: NDArray[np.uint8],
) -> None:
    """Round the rows of a block from the last to the first, each after the errors before it.

    The first arguments are those of `compensated`; `state` holds the grid of each lane. Writes
    errors = weight - stored [rows, LANES] in the order of rounding and the codes `rounded`
    [size, LANES] in stored order.
    """
    for i in range(len(order) - 1, -1, -1):
        for lane in range(LANES):
            total = carried[i, lane]
            for j in range(i + 1, len(order)):
                total += inside[i, j] * errors[j, lane]
            weight = weights[order[i], lane]
            zero = state[ZERO * LANES + lane]
            code = (weight + total / inside[i, i]) * state[INVERSE * LANES + lane] + zero
            code = np.rint(min(max(code, 0.0), top))
            rounded[order[i], lane] = np.uint8(code)
            errors[i, lane] = weight - (code - zero) * state[SCALE * LANES + lane]


@parallel
def compensate(
    weight: NDArray[np.float32],
    factor: NDArray[np.float32],
    places: NDArray[np.int64],
    importance: NDArray[np.float64],
    searched: bool,  # noqa: FBT001
    clips: NDArray[np.float32],
    offsets: NDArray[np.float32],
    rounds: int,
    top: float,
    codes: NDArray[np.uint8],
    scales: NDArray[np.float32],
    zero_points: NDArray[np.uint8],
) -> None:
    """Round weight [K, N] row by row; later rows compensate the errors of earlier ones.

    Into codes [N, blocks, size], scales and zero points [N, blocks]. `factor` [K, K] is the upper
    triangular R with H = R^T R, the rows and columns of H in the order of `places`, which names the
    row of the weight at each place. The last place is rounded first; the rows of a block are
    neighbors. Where `searched`, the grid of a block is searched with `importance` [K], in the
    order of the weight; elsewhere it spans the block's range.
    """
    size = codes.shape[2]
    for tile in prange(math.ceil(weight.shape[1] / LANES)):
        column = tile * LANES
        errors = np.zeros((weight.shape[0], LANES), np.float32)
        limits = np.array([0.0, top], np.float64)
        state = np.zeros(6 * LANES, np.float64)
        weights = np.empty((size, LANES), np.float64)
        x = np.empty((size, LANES), np.float64)
        a = np.empty((size, LANES), np.float64)
        rounded = np.empty((size, LANES), np.uint8)
        high = weight.shape[0]
        while high > 0:
            block = places[high - 1] // size
            first = block * size
            low = high - min(size, weight.shape[0] - first)
            order = places[low:high] - first
            inside = factor[low:high, low:high]
            carried = np.zeros((high - low, LANES), np.float32)
            add_products(factor[low:high], high, errors, carried)
            load(weight, first, column, weights)
            compensated(weights, carried, inside, order, x)
            if searched:
                weigh(x, importance, GIVEN, first, a)
                best_grid(x, a, clips, offsets, rounds, state, limits)
            else:
                span_range(x, False, top, state)  # noqa: FBT003
            store(x, state, limits, block, column, codes, scales, zero_points)
            round_in_turn(weights, carried, inside, order, state, top, errors[low:high], rounded)
            for lane in range(min(LANES, weight.shape[1] - column)):
                for row in order:
                    codes[column + lane, block, row] = rounded[row, lane]
            high = low


@serial
def descend_codes(
    inside: NDArray[np.float32],
    slopes: Lanes,
    units: Lanes,
    scale: Lanes,
    zero: Lanes,
    top: float,
    errors: Lanes,
) -> None:
    """Make each code of a block in turn the best one while all else stays.

    Args:
        inside: the block's part of H, [rows, rows].
        slopes: H e of its rows, [rows, LANES]; kept up to date, as are
        units: code - zero point, [rows, LANES], and
        errors: e = weight - stored of its rows, [rows, LANES].
        scale: of each lane, [LANES].
        zero: zero point of each lane, [LANES].
        top: the largest code.
    """
    change = np.empty(LANES, np.float32)
    for i in range(units.shape[0]):
        for lane in range(LANES):
            curve = inside[i, i] * scale[lane]
            step = slopes[i, lane] / curve if curve != 0.0 else np.float32(0.0)
            code = np.rint(min(max(units[i, lane] + step + zero[lane], 0.0), top))
            change[lane] = (code - zero[lane] - units[i, lane]) * scale[lane]
            units[i, lane] = code - zero[lane]
            errors[i, lane] -= change[lane]
        for j in range(units.shape[0]):
            for lane in range(LANES):
                slopes[j, lane] -= inside[j, i] * change[lane]


@serial
def refit_scale(
    inside: NDArray[np.float32], slopes: Lanes, units: Lanes, scale: Lanes, errors: Lanes
) -> None:
    """Give a block the best scale for its codes while all else stays; see descend_codes."""
    rows = units.shape[0]
    slope = np.zeros(LANES, np.float64)
    curve = np.zeros(LANES, np.float64)
    bent = np.empty(LANES, np.float32)
    change = np.empty(LANES, np.float32)
    for i in range(rows):
        bent[:] = 0.0
        for j in range(rows):
            for lane in range(LANES):
                bent[lane] += inside[i, j] * units[j, lane]
        for lane in range(LANES):
            slope[lane] += units[i, lane] * slopes[i, lane]
            curve[lane] += units[i, lane] * bent[lane]
    for lane in range(LANES):
        step = slope[lane] / curve[lane] if curve[lane] > 0.0 else 0.0
        refit = np.float32(scale[lane] + step)
        change[lane] = refit - scale[lane] if refit > 0.0 else np.float32(0.0)
        scale[lane] += change[lane]
    for i in range(rows):
        for lane in range(LANES):
            errors[i, lane] -= units[i, lane] * change[lane]


@parallel
def descend(
    weight: NDArray[np.float32],
    hessian: NDArray[np.float32],
    sweeps: int,
    top: float,
    codes: NDArray[np.uint8],
    scales: NDArray[np.float32],
    zero_points: NDArray[np.uint8],
) -> None:
    """Lower the output error of a quantized matrix by coordinate descent over codes and scales.

    With e = weight - stored the error of a column is e^T H e, H the `hessian` [K, K]. In each of
    the `sweeps` every code of weight [K, N] becomes the best one in turn, and after the codes of a
    block its scale. `codes` [N, blocks, size] and `scales` [N, blocks] are improved in place.
    """
    blocks, size = codes.shape[1], codes.shape[2]
    rows = weight.shape[0]
    for tile in prange(math.ceil(weight.shape[1] / LANES)):
        column = tile * LANES
        lanes = min(LANES, weight.shape[1] - column)
        units = np.zeros((rows, LANES), np.float32)
        errors = np.zeros((rows, LANES), np.float32)
        scale = np.zeros((blocks, LANES), np.float32)
        zero = np.zeros((blocks, LANES), np.float32)
        for row in range(rows):
            block = row // size
            for lane in range(lanes):
                scale[block, lane] = scales[column + lane, block]
                zero[block, lane] = zero_points[column + lane, block]
                code = np.float32(codes[column + lane, block, row % size])
                units[row, lane] = code - zero[block, lane]
                stored = units[row, lane] * scale[block, lane]
                errors[row, lane] = weight[row, column + lane] - stored
        for _ in range(sweeps):
            for block in range(blocks):
                first, last = block * size, min((block + 1) * size, rows)
                slopes = np.zeros((last - first, LANES), np.float32)
                add_products(hessian[first:last], 0, errors, slopes)
                inside = hessian[first:last, first:last]
                part, off = units[first:last], errors[first:last]
                descend_codes(inside, slopes, part, scale[block], zero[block], top, off)
                refit_scale(inside, slopes, part, scale[block], off)
        for row in range(rows):
            block = row // size
            for lane in range(lanes):
                scales[column + lane, block] = scale[block, lane]
                code = units[row, lane] + zero[block, lane]
                codes[column + lane, block, row % size] = np.uint8(code)


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
    blocks, size = codes.shape[1], codes.shape[2]
    for tile in prange(math.ceil(weight.shape[1] / LANES)):
        column = tile * LANES
        lanes = min(LANES, weight.shape[1] - column)
        x = np.empty((size, LANES), np.float64)
        stored = np.zeros((size, LANES), np.float32)
        error = np.zeros(LANES, np.float64)
        energy = np.zeros(LANES, np.float64)
        for block in range(blocks):
            load(weight, block * size, column, x)
            for lane in range(lanes):
                scale = scales[column + lane, block]
                zero = np.float32(zero_points[column + lane, block])
                for j in range(size):
                    stored[j, lane] = (np.float32(codes[column + lane, block, j]) - zero) * scale
            # Past K all is zero.
            for j in range(size):
                for lane in range(LANES):
                    rest = np.float64(stored[j, lane]) - x[j, lane]
                    error[lane] += rest * rest
                    energy[lane] += x[j, lane] * x[j, lane]
        errors[column : column + lanes] = error[:lanes]
        energies[column : column + lanes] = energy[:lanes]
