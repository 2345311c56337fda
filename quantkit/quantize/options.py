"""What every quantization scheme lets the recipe say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from quantkit.quantize.blocks import FloatArray, QuantizedMatrix
from quantkit.quantize.moments import InputMoments

Bits = Literal[2, 4, 8]
BlockSize = Literal[16, 32, 64, 128, 256]
# 0 leaves the choice to the runtime (float32), 1 asks for float32, 4 allows int8 activations.
AccuracyLevel = Literal[0, 1, 4]


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


class SchemeSettings(BaseModel, ABC):
    """Settings that all schemes share. A subclass is one algorithm."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scheme: str
    bits: Bits = 4
    block_size: BlockSize = 32
    accuracy_level: AccuracyLevel = 4
    equalize: bool = Field(
        default=False, description="move scale from layer norms into matrices where that helps"
    )
    exclude: tuple[str, ...] = Field(default=(), description="globs of tensors that stay float32")
    rules: tuple[Rule, ...] = ()

    @property
    def needs_activations(self) -> bool:
        """Whether the algorithm wants the mean squared inputs of the calibration stage."""
        return self.needs_hessians

    @property
    def needs_hessians(self) -> bool:
        """Whether it wants the full matrices of second moments as well."""
        return self.equalize

    def following(self, rule: Rule) -> Self:
        """These settings with the widths of a rule."""
        widths = {"bits": rule.bits, "block_size": rule.block_size}
        return self.model_copy(update={k: v for k, v in widths.items() if v is not None})

    def fitting(self, rows: int) -> Self:
        """These settings with the largest block size, from their own down, that divides rows."""
        sizes = (size for size in get_args(BlockSize) if size <= self.block_size)
        return self.model_copy(update={"block_size": max(s for s in sizes if rows % s == 0)})

    @abstractmethod
    def quantize(self, weight: FloatArray, moments: InputMoments | None) -> QuantizedMatrix:
        """Quantize one matrix.

        Args:
            weight: float32 [K, N], finite, C-contiguous.
            moments: of its inputs; given if needs_activations, with the Hessian if needs_hessians.
        """
