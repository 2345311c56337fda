"""What every quantization scheme lets the recipe say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Literal, Self, get_args

import onnx_ir as ir
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from quantkit.quantize.moments import InputMoments
from quantkit.quantize.storage.blocks import FloatArray, QuantizedMatrix
from quantkit.quantize.storage.matrices import WeightMatrix
from quantkit.quantize.storage.packing import pack
from quantkit.quantize.storage.replacement import replace_matrix

Bits = Literal[2, 4, 8]
BlockSize = Literal[16, 32, 64, 128, 256]
# 0 leaves the choice to the runtime (float32), 1 asks for float32, 4 allows int8 activations.
AccuracyLevel = Literal[0, 1, 4]

# Where ONNX Runtime has a 2-bit kernel; elsewhere it computes the same, 10 to 30 times slower.
TWO_BIT_BLOCKS = (32, 64, 128)
TWO_BIT_LEVEL = 4


class Rule(BaseModel):
    """Another width for the tensors that a glob matches; the first rule that matches counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    match: str = Field(min_length=1, description="glob on graph/tensor, for example encoder/*")
    bits: Bits | None = None
    block_size: BlockSize | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.bits is None and self.block_size is None:
            raise ValueError("a rule has to set bits or block_size")
        return self


class AnyScheme(BaseModel, ABC):
    """What the settings of every scheme say, whatever it works on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scheme: str

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions that decide the stored bytes, besides those for graphs and arrays."""
        return ()

    @property
    def needs_activations(self) -> bool:
        """Whether the algorithm wants the mean squared inputs of the calibration stage."""
        return self.needs_hessians

    @property
    def needs_hessians(self) -> bool:
        """Whether it wants the full matrices of second moments as well."""
        return False


class MatrixScheme(AnyScheme):
    """Settings that all schemes on single matrices share."""

    exclude: tuple[str, ...] = Field(default=(), description="globs of tensors that stay float32")
    rules: tuple[Rule, ...] = ()

    @property
    def libraries(self) -> tuple[str, ...]:
        """The compiler of the loops."""
        return ("numba",)

    @abstractmethod
    def following(self, rule: Rule) -> MatrixScheme:
        """What quantizes a tensor that a rule matches."""

    @abstractmethod
    def fitting(self, rows: int) -> MatrixScheme:
        """What quantizes a table with so many values a row."""

    def blind(self) -> MatrixScheme:
        """What quantizes a tensor whose inputs could not be measured."""
        return self

    @abstractmethod
    def quantize(self, weight: FloatArray, moments: InputMoments | None) -> QuantizedMatrix:
        """Quantize one matrix.

        Args:
            weight: float32 [K, N], finite, C-contiguous.
            moments: of its inputs; given if needs_activations, with the Hessian if needs_hessians.
        """

    @abstractmethod
    def replace(self, model: ir.Model, matrix: WeightMatrix, quantized: QuantizedMatrix) -> int:
        """Let the nodes of a model that use a matrix use what `quantize` made of it.

        Args:
            model: changed in place.
            matrix: one of find_matrices(model).
            quantized: its quantized form.

        Returns:
            The bytes that are stored of it.
        """


class SchemeSettings(MatrixScheme):
    """Settings of schemes that store blocks of weights. A subclass is one algorithm."""

    bits: Bits = 4
    block_size: BlockSize = 32
    accuracy_level: AccuracyLevel = 4
    equalize: bool = Field(
        default=False, description="move scale from layer norms into matrices where that helps"
    )

    @model_validator(mode="after")
    def _has_kernels(self) -> Self:
        """Refuse 2-bit settings that would crawl, those that a rule makes included."""
        made = [(("rules", index), self.following(rule)) for index, rule in enumerate(self.rules)]
        refuse_slow(type(self).__name__, [(("bits",), self), *made])
        return self

    @property
    def needs_hessians(self) -> bool:
        """Whether the algorithm or equalisation wants second moments of all pairs of inputs."""
        return self.equalize

    def following(self, rule: Rule) -> Self:
        """These settings with the widths of a rule."""
        widths = {"bits": rule.bits, "block_size": rule.block_size}
        return self.model_copy(update={k: v for k, v in widths.items() if v is not None})

    def blind(self) -> SchemeSettings:
        """The same without equalisation."""
        return self.model_copy(update={"equalize": False})

    def fitting(self, rows: int) -> Self:
        """These settings with the largest block size, from their own down, that divides rows."""
        sizes = (size for size in get_args(BlockSize) if size <= self.block_size)
        return self.model_copy(update={"block_size": max(s for s in sizes if rows % s == 0)})

    def replace(self, model: ir.Model, matrix: WeightMatrix, quantized: QuantizedMatrix) -> int:
        """Use packed blocks: MatMulNBits or GatherBlockQuantized; see MatrixScheme."""
        packed = pack(quantized)
        replace_matrix(model, matrix, packed, self.accuracy_level)
        return packed.nbytes


def refuse_slow(title: str, named: Iterable[tuple[tuple[str | int, ...], SchemeSettings]]) -> None:
    """Refuse widths that the runtime has no fast kernel for, each under its key.

    Raises:
        ValidationError: of the model `title`, with every such key.
    """
    wrong = [
        InitErrorDetails(type="value_error", loc=key, input=2, ctx={"error": ValueError(why)})
        for key, settings in named
        if (why := _why_slow(settings))
    ]
    if wrong:
        raise ValidationError.from_exception_data(title, wrong)


def _why_slow(settings: SchemeSettings) -> str:
    """Why the runtime has no fast kernel for these widths; empty if it has."""
    if settings.bits != 2 or (
        settings.block_size in TWO_BIT_BLOCKS and settings.accuracy_level == TWO_BIT_LEVEL
    ):
        return ""
    return (
        f"2 bits with block_size {settings.block_size} and accuracy_level "
        f"{settings.accuracy_level} have no kernel in ONNX Runtime and would run 10 to 30 times "
        "slower; accepted with 2 bits: block_size "
        f"{', '.join(map(str, TWO_BIT_BLOCKS))} with accuracy_level {TWO_BIT_LEVEL}"
    )
