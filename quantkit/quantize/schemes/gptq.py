"""GPTQ: the rounding error of each row of weights is compensated by the rows that follow.

The output error of a column w of weights is (w - q)^T H (w - q), H the second moments of the
inputs. With H = R^T R, R upper triangular, the terms of |R (w - q)|^2 are made small one after the
other, from the last row up: row k is rounded not at w_k but at
w_k + sum_{j > k} R_kj (w_j - q_j) / R_kk, the best value given the errors so far. (This is GPTQ,
Frantar et al. 2023, arXiv 2210.17323, in the form of Babai's nearest plane, without inverting H.)

Blocks are rounded whole and in the order of what their inputs weigh, and so are the rows within a
block: MatMulNBits has no order of its own, but this one needs none. A block's grid is chosen when
its turn comes, on the weights as the earlier blocks want them. Coordinate descent over all codes
and scales follows: it also lets early rows answer to late ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky
from threadpoolctl import threadpool_limits

from quantkit.core.errors import InputError
from quantkit.quantize.schemes.kquant import CLIPS, OFFSETS, ROUNDS
from quantkit.quantize.settings import Grid, Order
from quantkit.quantize.storage.blocks import FloatArray, QuantizedMatrix


def gptq(
    weight: FloatArray,
    hessian: NDArray[np.floating],
    bits: int,
    block_size: int,
    *,
    grid: Grid = "kquant",
    order: Order = "activation",
    damping: float = 0.01,
    sweeps: int = 2,
) -> QuantizedMatrix:
    """Quantize a matrix for the least output error on inputs with these second moments.

    Args:
        weight: finite float32 [K, N], C-contiguous.
        hessian: E[x x^T], [K, K], symmetric and positive semidefinite.
        bits: 2, 4 or 8.
        block_size: weights along K that share a scale.
        grid: "kquant" searches scale and zero point of each block, "rtn" spans its range.
        order: "activation" rounds heavy blocks and rows first, "stored" as they lie.
        damping: share of the mean of the diagonal that is added to it.
        sweeps: passes of coordinate descent over codes and scales.

    Raises:
        ValueError: the Hessian is not [K, K].
        InputError: it is not positive definite, even damped.
    """
    from quantkit.quantize.schemes import loops

    rows = weight.shape[0]
    if hessian.shape != (rows, rows):
        raise ValueError(f"a Hessian [{rows}, {rows}] is needed; found {list(hessian.shape)}")
    damped = np.array(hessian, np.float64)
    load = float(np.trace(damped)) / rows
    damped[np.diag_indices(rows)] += damping * load if load > 0 else 1.0
    importance = damped.diagonal().copy()
    places = _places(importance, block_size, order)
    factor = _factor(damped[np.ix_(places, places)])
    result = QuantizedMatrix.empty(weight, bits, block_size)
    top = 2.0**bits - 1.0
    loops.compensate(
        weight,
        factor,
        places,
        importance,
        grid == "kquant",
        CLIPS[bits],
        OFFSETS[bits],
        ROUNDS,
        top,
        result.codes,
        result.scales,
        result.zero_points,
    )
    if sweeps:
        loops.descend(
            weight,
            damped.astype(np.float32),
            sweeps,
            top,
            result.codes,
            result.scales,
            result.zero_points,
        )
    return result


def _places(importance: NDArray[np.float64], block_size: int, order: Order) -> NDArray[np.int64]:
    """Rows so that the last is rounded first and those of a block are neighbors, int64 [K]."""
    rows = np.arange(len(importance))
    blocks = rows // block_size
    if order == "stored":
        return rows[::-1].copy()
    weights = np.bincount(blocks, importance)
    return np.lexsort((importance, blocks, weights[blocks]))


def _factor(hessian: NDArray[np.float64]) -> NDArray[np.float32]:
    """Upper triangular R with R^T R = hessian, float32; on one thread, so always the same."""
    try:
        with threadpool_limits(1):
            factor = cholesky(hessian, lower=False, overwrite_a=True, check_finite=False)
    except LinAlgError as error:
        raise InputError(
            f"a Hessian of {len(hessian)} inputs is not positive definite ({error}); calibrate on "
            "more speech, or raise quantize.damping"
        ) from error
    return np.ascontiguousarray(factor, np.float32)
