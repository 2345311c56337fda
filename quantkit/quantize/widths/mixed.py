"""Mixed precision: another width for each tensor, quantized by one algorithm.

The widths are worked out as rules, and a scheme with rules is what the quantizer knows.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

import onnx_ir as ir
from pydantic import Field, model_validator

from quantkit.core.errors import InputError
from quantkit.quantize.inventory import Inventory
from quantkit.quantize.options import AnyScheme, Rule, refuse_slow
from quantkit.quantize.schemes.algorithms import Algorithm, AlgorithmSettings
from quantkit.quantize.widths.budget import (
    AllocatedTensor,
    AllocationReport,
    allocate_widths,
)
from quantkit.quantize.widths.measured import load_sensitivity
from quantkit.quantize.widths.selection import require_match, without
from quantkit.quantize.widths.settings import (
    CHOICES,
    KEY,
    BudgetWidths,
    PublishedWidths,
    RuleWidths,
    Width,
)


class MixedSettings(AnyScheme):
    """One algorithm, and how each tensor gets its width."""

    scheme: Literal["mixed"] = "mixed"
    base: AlgorithmSettings = Field(
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


class Resolved(NamedTuple):
    """The algorithm with a rule for every other width, and what a budget was spent on."""

    settings: Algorithm
    allocation: AllocationReport | None


def resolve(
    settings: MixedSettings, graphs: Mapping[str, ir.Model], sensitivity: Path | None
) -> Resolved:
    """Work out the rules.

    Args:
        settings: what the recipe says.
        graphs: open models by the name that their tensors are selected with.
        sensitivity: the sensitivity stage's directory; needed for a budget.

    Raises:
        SettingError: a glob matches nothing, or the widths are impossible for this model.
        InputError: a budget without measurements of a tensor.
    """
    inventory = Inventory.of(graphs)
    names = without(list(inventory.matrices), settings.base.exclude, "quantize.base")
    allocation = None
    match settings.widths:
        case PublishedWidths() as widths:
            rules = widths.rules(names)
        case RuleWidths(rules=rules):
            for index, rule in enumerate(rules):
                require_match(rule.match, list(inventory.matrices), f"{KEY}.rules[{index}].match")
        case BudgetWidths() as widths:
            if sensitivity is None:
                raise InputError(
                    f"{KEY}: a budget needs measured sensitivities; name speech under calibrate"
                )
            measured = load_sensitivity(sensitivity)
            allocation = allocate_widths(widths, inventory, names, measured)
            rules = tuple(_exactly(tensor) for tensor in allocation["tensors"])
    return Resolved(settings.base.model_copy(update={"rules": rules}), allocation)


def _exactly(tensor: AllocatedTensor) -> Rule:
    """The rule that gives this tensor, and no other, its width."""
    width = Width.model_validate({"bits": tensor["bits"], "block_size": tensor["block_size"]})
    return width.rule(glob.escape(tensor["name"]))
