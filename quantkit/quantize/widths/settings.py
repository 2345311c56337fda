"""Ways to say which tensor takes which width: a published heuristic, rules, or a budget."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from quantkit.core.errors import SettingError
from quantkit.core.names import kind_and_layer
from quantkit.quantize.options import Bits, BlockSize, Rule

KEY = "quantize.widths"


class Width(BaseModel):
    """Bits of a weight, and how many weights share a scale."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bits: Bits
    block_size: BlockSize

    def __str__(self) -> str:
        return f"{self.bits} bits in blocks of {self.block_size}"

    def rule(self, match: str) -> Rule:
        """The rule that gives this width to what a glob matches."""
        return Rule(match=match, bits=self.bits, block_size=self.block_size)


# From less than 4.2 to 9.25 stored bits a weight.
CHOICES = (
    Width(bits=4, block_size=128),
    Width(bits=4, block_size=64),
    Width(bits=4, block_size=32),
    Width(bits=8, block_size=128),
    Width(bits=8, block_size=32),
)


class PublishedWidths(BaseModel):
    """The heuristic of the published int4-mixed models: 8 bits where errors are known to hurt.

    Those are attention in every layer, all of the first and the last layer, and the projection
    after sub-sampling. The published models leave the prediction network and the joint in float;
    here they take 8 bits as well.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Literal["published"] = "published"

    def rules(self, names: Sequence[str]) -> tuple[Rule, ...]:
        """Rules for the tensors of these names.

        Raises:
            SettingError: there is no encoder layer among them.
        """
        encoder = [kind_and_layer(name)[1] for name in names if name.startswith("encoder/")]
        layers = [layer for layer in encoder if layer is not None]
        if not layers:
            raise SettingError(
                f"{KEY}.by",
                "found 'published', which is about the layers of an encoder, and no tensor named "
                "encoder/layers.N among those to quantize; accepted here: 'rules'",
            )
        globs = [
            "encoder/layers.*.self_attn.*",
            f"encoder/layers.{min(layers)}.*",
            f"encoder/layers.{max(layers)}.*",
            "encoder/stem.out.*",
            "predictor/*",
            "joint/*",
        ]
        return tuple(
            Rule(match=glob, bits=8)
            for glob in globs
            if any(fnmatchcase(name, glob) for name in names)
        )


class RuleWidths(BaseModel):
    """Widths by globs; the first rule that matches counts, the rest keeps the base's width."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Literal["rules"] = "rules"
    rules: tuple[Rule, ...]

    @model_validator(mode="after")
    def _has_rules(self) -> Self:
        if not self.rules:
            raise ValueError("found no rule, accepted: at least one")
        return self


class BudgetWidths(BaseModel):
    """The widths that do the least measured damage within a size.

    The size is that of all stored tensors of all graphs: codes, scales, zero points and what stays
    in float.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Literal["budget"] = "budget"
    bits_per_weight: float | None = Field(None, gt=0, le=64, description="8 x bytes / parameters")
    megabytes: float | None = Field(None, gt=0, le=1e6, description="10^6 bytes")
    choices: tuple[Width, ...] = CHOICES

    @model_validator(mode="after")
    def _is_one_budget(self) -> Self:
        if (self.bits_per_weight is None) == (self.megabytes is None):
            raise ValueError("accepted: exactly one of bits_per_weight and megabytes")
        if not self.choices or len(set(self.choices)) < len(self.choices):
            raise ValueError("choices: accepted: one or more different widths")
        return self

    @property
    def limit(self) -> str:
        """The name of the key that sets the size."""
        return "megabytes" if self.bits_per_weight is None else "bits_per_weight"

    def budget(self, parameters: int) -> int:
        """The size in bytes, for a model of so many parameters."""
        if self.bits_per_weight is not None:
            return int(self.bits_per_weight * parameters / 8)
        return int((self.megabytes or 0.0) * 1e6)
