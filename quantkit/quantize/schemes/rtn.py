"""Round to nearest: the grid spans the range of each block, nothing is searched."""

from __future__ import annotations

from quantkit.quantize.storage.blocks import FloatArray, QuantizedMatrix


def round_to_nearest(
    weight: FloatArray, bits: int, block_size: int, *, symmetric: bool = False
) -> QuantizedMatrix:
    """Quantize each block on its own range, widened to contain zero so that zero is stored exactly.

    Asymmetric: scale = (max - min) / (2^bits - 1), zero point = rint(-min / scale).
    Symmetric: zero point 2^(bits-1), and the value of largest magnitude on code 0, so that the
    scale is negative where this value is positive (as ONNX Runtime's own block quantizer does).

    Args:
        weight: finite float32 [K, N], C-contiguous.
        bits: 2, 4 or 8.
        block_size: weights along K that share a scale.
        symmetric: leave the zero point at the middle code.
    """
    from quantkit.quantize.schemes import loops

    result = QuantizedMatrix.empty(weight, bits, block_size)
    loops.round_to_nearest(
        weight, symmetric, 2.0**bits - 1.0, result.codes, result.scales, result.zero_points
    )
    return result
