"""Codes, scales and zero points do not depend on the number of threads."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from quantkit.quantize.schemes.gptq import gptq
from quantkit.quantize.schemes.kquant import k_quant
from tests.quantize import weights

pytestmark = pytest.mark.slow


def quantized() -> str:
    """What the schemes with compiled loops store for one matrix, in hexadecimal digits."""
    weight = weights.heavy("student", 128, 200)
    inputs = np.random.default_rng(0).standard_normal((500, 128))
    found = (k_quant(weight, 4, 32), gptq(weight, inputs.T @ inputs / 500, 4, 32))
    return "".join(
        getattr(matrix, name).tobytes().hex()
        for matrix in found
        for name in ("codes", "scales", "zero_points")
    )


def in_threads(number: int) -> str:
    program = "from tests.quantize.schemes.test_threads import quantized; print(quantized())"
    environment = os.environ | {"NUMBA_NUM_THREADS": str(number)}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_same_bytes_on_any_number_of_threads() -> None:
    one = in_threads(1)
    assert len(one) > 128 * 200
    assert in_threads(3) == one
