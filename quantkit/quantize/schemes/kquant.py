"""k-quant: search the scale and the integer zero point of each block, as they will be stored.

For a block x with importance a, minimize sum a_j ((q_j - z) s - x_j)^2 over integers q_j and z in
[0, 2^bits) and float32 s. For fixed s and z the best q_j is rounding; for fixed integers the best s
is sum a u x / sum a u^2 with u = q - z. The search rounds on many grids (the range of the block
times a clip factor, the zero point moved by a few codes), refits the scale of each, and goes on
from the best by rounding and refitting in turn. What would then be stored, scale in float32,
competes in float64 with both kinds of round-to-nearest, so no block is ever worse than those.

The k-quant of ONNX Runtime and Olive differs: it fits a continuous offset, rounds it to a zero
point afterwards and neither scores nor refits the result, and shrinks the range by 6 % at most.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantkit.quantize.settings import Importance
from quantkit.quantize.storage.blocks import FloatArray, QuantizedMatrix

# Factors on the range of a block, and codes that its zero point moves by. At 2 bits they come
# within 0.1 % of trying everything, at 4 bits more of them gain less than 0.2 %; at 8 bits the
# error falls slowly with their number, like the best of many.
CLIPS = {
    2: np.linspace(0.2, 1.2, 12, dtype=np.float32),
    4: np.linspace(0.66, 1.18, 14, dtype=np.float32),
    8: np.linspace(0.94, 1.03, 24, dtype=np.float32),
}
OFFSETS = {
    2: np.array([0, -1, 1], np.float32),
    4: np.array([0, -1, 1, -2, 2], np.float32),
    8: np.array([0, -1, 1], np.float32),
}
ROUNDS = 2


def k_quant(
    weight: FloatArray,
    bits: int,
    block_size: int,
    importance: Importance = "weight",
    activations: NDArray[np.float64] | None = None,
) -> QuantizedMatrix:
    """Quantize each block on the grid that the search finds.

    Args:
        weight: finite float32 [K, N], C-contiguous.
        bits: 2, 4 or 8.
        block_size: weights along K that share a scale.
        importance: what an error costs, see KQuantSettings.
        activations: mean squared input, finite and not negative, float64 [K].

    Raises:
        ValueError: importance is "activation" and there are no activations, or not K of them.
    """
    from quantkit.quantize.schemes import loops

    kind = {"none": loops.NONE, "weight": loops.WEIGHT, "activation": loops.GIVEN}[importance]
    cost = np.zeros(0)
    if importance == "activation":
        if activations is None or activations.shape != weight.shape[:1]:
            found = "none" if activations is None else f"shape {activations.shape}"
            raise ValueError(f"activations of shape {weight.shape[:1]} are needed; found {found}")
        cost = np.ascontiguousarray(activations, np.float64)
    result = QuantizedMatrix.empty(weight, bits, block_size)
    loops.search(
        weight,
        cost,
        kind,
        CLIPS[bits],
        OFFSETS[bits],
        ROUNDS,
        2.0**bits - 1.0,
        result.codes,
        result.scales,
        result.zero_points,
    )
    return result


def weight_importance(weight: FloatArray, block_size: int) -> NDArray[np.float64]:
    """Cost of an error where importance is "weight": block RMS + |w|, float64 [K, N].

    The formula of ggml's quantizers without an importance matrix. A last block that K does not fill
    counts as padded with zeros.
    """
    rows, columns = weight.shape
    blocks = -(-rows // block_size)
    padded = np.zeros((blocks * block_size, columns))
    padded[:rows] = weight
    rms = np.sqrt((padded.reshape(blocks, block_size, columns) ** 2).mean(axis=1))
    return np.asarray(np.repeat(rms, block_size, axis=0)[:rows] + np.abs(padded[:rows]))
