"""What the settings of a matrix stand for: the function that quantizes it, and how it is stored."""

from __future__ import annotations

import onnx_ir as ir

from quantkit.quantize.moments import InputMoments
from quantkit.quantize.schemes.gptq import gptq
from quantkit.quantize.schemes.kquant import k_quant
from quantkit.quantize.schemes.rtn import round_to_nearest
from quantkit.quantize.settings import (
    BlockScheme,
    GptqSettings,
    Int8DynamicSettings,
    KQuantSettings,
    MatrixScheme,
    RtnSettings,
)
from quantkit.quantize.storage.blocks import FloatArray, QuantizedMatrix
from quantkit.quantize.storage.integer_product import replace_by_integers
from quantkit.quantize.storage.matrices import WeightMatrix
from quantkit.quantize.storage.packing import pack
from quantkit.quantize.storage.replacement import replace_matrix


def quantize_matrix(
    weight: FloatArray, settings: MatrixScheme, moments: InputMoments | None
) -> QuantizedMatrix:
    """Quantize one matrix.

    Args:
        weight: float32 [K, N], finite, C-contiguous.
        settings: the scheme.
        moments: of its inputs; given if needs_activations, with the Hessian if needs_hessians.

    Raises:
        ValueError: moments that the scheme needs are not given.
    """
    match settings:
        case RtnSettings(bits=bits, block_size=block_size, symmetric=symmetric):
            return round_to_nearest(weight, bits, block_size, symmetric=symmetric)
        case KQuantSettings(bits=bits, block_size=block_size, importance=importance):
            activations = None if moments is None else moments.diagonal
            return k_quant(weight, bits, block_size, importance, activations)
        case GptqSettings(bits=bits, block_size=block_size):
            if moments is None or moments.hessian is None:
                raise ValueError("gptq needs the Hessian of the inputs")
            return gptq(
                weight,
                moments.hessian,
                bits,
                block_size,
                grid=settings.grid,
                order=settings.order,
                damping=settings.damping,
                sweeps=settings.sweeps,
            )
        case Int8DynamicSettings():  # a column is one block
            return k_quant(weight, 8, len(weight), "none")
    raise TypeError(f"no algorithm for {type(settings).__name__}")


def store_matrix(
    model: ir.Model, matrix: WeightMatrix, quantized: QuantizedMatrix, settings: MatrixScheme
) -> ir.Value:
    """Let the nodes of a model that use a matrix use what `quantize_matrix` made of it.

    Blocks go into MatMulNBits and GatherBlockQuantized, whole columns into products of integers.

    Args:
        model: changed in place.
        matrix: one of find_matrices(model).
        quantized: its quantized form.
        settings: the scheme.

    Returns:
        Its codes.
    """
    if not isinstance(settings, BlockScheme):
        return replace_by_integers(model, matrix, quantized)
    return replace_matrix(model, matrix, pack(quantized), settings.accuracy_level)
