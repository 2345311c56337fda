"""Mixed precision as a recipe says it: by a published heuristic, by rules, or by a budget."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from quantkit.quantize.settings import Algorithm, Bits, BlockSize, Rule, Scheme, refuse_slow


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


class MixedSettings(Scheme):
    """One algorithm, and how each tensor gets its width."""

    scheme: Literal["mixed"] = "mixed"
    base: Algorithm = Field(
        description="the algorithm; its bits and block_size are the width where nothing else is set"
    )
    widths: Annotated[PublishedWidths | RuleWidths | BudgetWidths, Field(discriminator="by")]

    @model_validator(mode="after")
    def _has_one_place_for_rules(self) -> Self:
        if self.base.rules:
            raise ValueError("base.rules: accepted here: widths: {by: rules, rules: [...]}")
        return self

    @model_validator(mode="after")
    def _has_kernels(self) -> Self:
        made: list[tuple[tuple[str | int, ...], Rule]] = []
        match self.widths:
            case RuleWidths(rules=rules):
                made = [(("widths", "rules", index), rule) for index, rule in enumerate(rules)]
            case BudgetWidths(choices=choices):
                made = [
                    (("widths", "choices", index), width.rule("*"))
                    for index, width in enumerate(choices)
                ]
            case PublishedWidths():
                pass
        refuse_slow("MixedSettings", ((key, self.base.following(rule)) for key, rule in made))
        return self

    @property
    def libraries(self) -> tuple[str, ...]:
        """Those of the algorithm, and the solver's."""
        return (*self.base.libraries, *(["scipy"] if self.needs_sensitivity else []))

    @property
    def needs_activations(self) -> bool:
        """Whether the algorithm wants the mean squared inputs of the calibration stage."""
        return self.base.needs_activations

    @property
    def needs_hessians(self) -> bool:
        """Whether the algorithm wants the full matrices of second moments as well."""
        return self.base.needs_hessians

    @property
    def needs_sensitivity(self) -> bool:
        """Whether the sensitivity stage has to run first."""
        return isinstance(self.widths, BudgetWidths)

    @property
    def choices(self) -> tuple[Width, ...]:
        """The widths whose damage is worth measuring."""
        return self.widths.choices if isinstance(self.widths, BudgetWidths) else CHOICES
