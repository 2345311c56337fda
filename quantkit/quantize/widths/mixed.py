"""Mixed precision: another width for each tensor, quantized by one algorithm.

The widths are worked out as rules, and a scheme with rules is what the quantizer knows.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import onnx_ir as ir

from quantkit.core.errors import InputError, SettingError
from quantkit.core.names import kind_and_layer
from quantkit.quantize.inventory import Inventory
from quantkit.quantize.settings import Algorithm, Rule
from quantkit.quantize.widths.budget import (
    KEY,
    AllocatedTensor,
    AllocationReport,
    allocate_widths,
)
from quantkit.quantize.widths.measured import load_sensitivity
from quantkit.quantize.widths.selection import require_match, without
from quantkit.quantize.widths.settings import (
    BudgetWidths,
    MixedSettings,
    PublishedWidths,
    RuleWidths,
    Width,
)


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
        case PublishedWidths():
            rules = published_rules(names)
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


def published_rules(names: Sequence[str]) -> tuple[Rule, ...]:
    """The rules of PublishedWidths for the tensors of these names.

    Raises:
        SettingError: there is no encoder layer among them.
    """
    others = [name for name in names if not name.startswith("encoder/")]
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
        *(f"{graph}/*" for graph in dict.fromkeys(name.partition("/")[0] for name in others)),
    ]
    return tuple(
        Rule(match=glob, bits=8) for glob in globs if any(fnmatchcase(name, glob) for name in names)
    )


def _exactly(tensor: AllocatedTensor) -> Rule:
    """The rule that gives this tensor, and no other, its width."""
    width = Width.model_validate({"bits": tensor["bits"], "block_size": tensor["block_size"]})
    return width.rule(glob.escape(tensor["name"]))
