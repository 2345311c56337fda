"""Widths for a size: the measured damages of all tensors, allocated within a budget of bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

from quantkit.core.errors import InputError, SettingError
from quantkit.quantize.inventory import Inventory
from quantkit.quantize.widths.measured import MeasuredChoice, Sensitivity
from quantkit.quantize.widths.settings import BudgetWidths, Width

#: The key of a recipe that says how tensors get their widths.
KEY = "quantize.widths"
#: What a budget was spent on, beside the graphs.
ALLOCATION = "allocation.json"


class AllocatedTensor(TypedDict):
    """What one tensor got: its width, its stored bytes and the damage that it does alone."""

    name: str
    bits: int
    block_size: int
    bytes: int
    kl_mean: float


class AllocationReport(TypedDict):
    """The content of allocation.json.

    `bytes` are all that is stored, `kept_bytes` those of them that stay in float; `kl_sum` adds up
    the tensors' damages, and no allocation has a sum below (1 - `gap`) times that.
    """

    budget_bytes: int
    bytes: int
    kept_bytes: int
    bits_per_weight: float
    kl_sum: float
    gap: float
    tensors: list[AllocatedTensor]


def allocate_widths(
    widths: BudgetWidths, inventory: Inventory, names: Sequence[str], measured: Sensitivity
) -> AllocationReport:
    """Choose the width of each tensor.

    Args:
        widths: the budget and the choices.
        inventory: of the float model.
        names: the tensors to quantize, as "graph/tensor".
        measured: their damages.

    Raises:
        SettingError: no allocation fits the budget.
        InputError: a tensor was not measured at one of the choices.
    """
    # The solvers take half a second to load, and only a budget needs them.
    from quantkit.quantize.widths.allocation import allocate, smallest

    tensors = {tensor["name"]: tensor["choices"] for tensor in measured["tensors"]}
    options = [
        [_measured(name, tensors.get(name, []), width) for width in widths.choices]
        for name in names
    ]
    sizes = [[choice["bytes"] for choice in row] for row in options]
    budget, kept = widths.budget(inventory.parameters), inventory.kept(names)
    _require_room(widths, inventory, kept + smallest(sizes), budget)
    found = allocate(sizes, [[c["kl_mean"] for c in row] for row in options], budget - kept)
    chosen = [row[index] for row, index in zip(options, found.chosen, strict=True)]
    total = kept + found.bytes
    return {
        "budget_bytes": budget,
        "bytes": total,
        "kept_bytes": kept,
        "bits_per_weight": 8 * total / inventory.parameters,
        "kl_sum": found.damage,
        "gap": found.gap,
        "tensors": [
            {
                "name": name,
                "bits": choice["bits"],
                "block_size": choice["block_size"],
                "bytes": choice["bytes"],
                "kl_mean": choice["kl_mean"],
            }
            for name, choice in zip(names, chosen, strict=True)
        ],
    }


def _measured(name: str, choices: Sequence[MeasuredChoice], width: Width) -> MeasuredChoice:
    for choice in choices:
        if (choice["bits"], choice["block_size"]) == (width.bits, width.block_size):
            return choice
    raise InputError(
        f"{name!r} has no measured damage at {width}; measure this very model at all of "
        f"{KEY}.choices, or exclude the tensor"
    )


def _require_room(widths: BudgetWidths, inventory: Inventory, least: int, budget: int) -> None:
    if least <= budget:
        return
    found = getattr(widths, widths.limit)
    unit = 1e6 if widths.limit == "megabytes" else inventory.parameters / 8
    # Rounded up, so that the number works when it is copied.
    accepted = math.ceil(least / unit * 1000) / 1000
    raise SettingError(
        f"{KEY}.{widths.limit}",
        f"found {found:g}, accepted: at least {accepted:g}, which is the smallest of "
        f"{KEY}.choices for every tensor, and what stays in float; give more room, or smaller "
        "choices",
    )
