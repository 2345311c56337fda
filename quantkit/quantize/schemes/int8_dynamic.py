"""8 bits for weights and activations alike: what many streams or long chunks run fastest on."""

from __future__ import annotations

from typing import Literal

import onnx_ir as ir

from quantkit.quantize.moments import InputMoments
from quantkit.quantize.options import MatrixScheme, Rule
from quantkit.quantize.schemes.kquant import KQuantSettings, k_quant
from quantkit.quantize.storage.blocks import FloatArray, QuantizedMatrix
from quantkit.quantize.storage.integer_product import replace_by_integers
from quantkit.quantize.storage.matrices import WeightMatrix


class Int8DynamicSettings(MatrixScheme):
    """int8 weights with a scale and a zero point a column, activations quantized row by row.

    Tables, and tensors that a rule matches, are stored in blocks by k-quant instead, in 8 bits if
    the rule says nothing else.
    """

    scheme: Literal["int8-dynamic"] = "int8-dynamic"

    def following(self, rule: Rule) -> KQuantSettings:
        """k-quant with the widths of a rule."""
        return KQuantSettings(bits=8).following(rule)

    def fitting(self, rows: int) -> KQuantSettings:
        """k-quant in blocks that divide a table's rows."""
        return KQuantSettings(bits=8).fitting(rows)

    def quantize(
        self,
        weight: FloatArray,
        moments: InputMoments | None,  # noqa: ARG002
    ) -> QuantizedMatrix:
        """Quantize one matrix float32 [K, N] into N blocks of K; its inputs make no difference."""
        return k_quant(weight, 8, len(weight), "none")

    def replace(self, model: ir.Model, matrix: WeightMatrix, quantized: QuantizedMatrix) -> int:
        """Use products of integers; see MatrixScheme."""
        return replace_by_integers(model, matrix, quantized)
