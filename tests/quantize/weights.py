"""Heavy-tailed weights, and Olive's k-quant as the baseline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantkit.quantize.storage.blocks import FloatArray, QuantizedMatrix

KINDS = ("gauss", "laplace", "student")


def heavy(kind: str, rows: int, columns: int, seed: int = 0) -> FloatArray:
    rng = np.random.default_rng(seed)
    draws: dict[str, NDArray[np.float64]] = {
        "gauss": rng.standard_normal((rows, columns)),
        "laplace": rng.laplace(size=(rows, columns)),
        "student": rng.standard_t(3, size=(rows, columns)),
    }
    return (0.05 * draws[kind]).astype(np.float32)


def olive_kquant(weight: FloatArray, bits: int, block_size: int) -> QuantizedMatrix:
    from olive.passes.onnx.kquant_quantization import _kquant_quantize_cpu

    rows, columns = weight.shape
    padded = np.pad(weight, ((0, -rows % block_size), (0, 0)))
    codes, scales, zero_points = _kquant_quantize_cpu(padded.T, bits, block_size)
    return QuantizedMatrix(
        codes=codes.astype(np.uint8).reshape(columns, -1, block_size),
        scales=scales.astype(np.float32).reshape(columns, -1),
        zero_points=zero_points.reshape(columns, -1),
        bits=bits,
        rows=rows,
    )
