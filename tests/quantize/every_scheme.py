"""Every scheme that works on single matrices, as the storage tests run them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from quantkit.quantize.moments import InputMoments
from quantkit.quantize.schemes.registry import quantize_matrix
from quantkit.quantize.settings import (
    Bits,
    BlockScheme,
    BlockSize,
    GptqSettings,
    KQuantSettings,
    RtnSettings,
    Rule,
)
from quantkit.quantize.storage.blocks import FloatArray, QuantizedMatrix

SCHEMES: dict[str, BlockScheme] = {
    "rtn": RtnSettings(),
    "rtn-symmetric": RtnSettings(symmetric=True),
    "kquant-none": KQuantSettings(importance="none"),
    "kquant-weight": KQuantSettings(),
    "kquant-activation": KQuantSettings(importance="activation"),
    "gptq": GptqSettings(),
}

# Far from overflow, where what is stored of a block could be infinite; denormals included.
MATRICES = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=80),
    elements=st.floats(-(2.0**99), 2.0**99, width=32)
    | st.sampled_from([0.0, 1.0, -1.0, -1e-40, 1e-45]),
)


def moments(rows: int, seed: int = 0) -> InputMoments:
    """Of inputs that differ in size, mixed with each other."""
    random = np.random.default_rng(seed)
    inputs = random.standard_normal((4 * rows + 8, rows)) * random.lognormal(size=rows)
    inputs[:, 1:] += 0.5 * inputs[:, :-1]
    hessian = inputs.T @ inputs / len(inputs)
    return InputMoments(np.diagonal(hessian).copy(), hessian.astype(np.float32))


def quantize(scheme: str, weight: FloatArray, bits: Bits, size: BlockSize) -> QuantizedMatrix:
    """Quantize float32 [K, N] in any memory layout, with moments of its inputs."""
    chosen = SCHEMES[scheme].following(Rule(match="*", bits=bits, block_size=size))
    return quantize_matrix(np.ascontiguousarray(weight), chosen, moments(weight.shape[0]))
