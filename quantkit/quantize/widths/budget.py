"""Widths for a size: the measured damages of all tensors, allocated within a budget of bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from quantkit.core.errors import InputError, SettingError
from quantkit.quantize.inventory import Inventory
from quantkit.quantize.widths.measured import MeasuredChoice, Sensitivity
from quantkit.quantize.widths.settings import BudgetWidths, Width

#: The key of a recipe that says how tensors get their widths.
KEY = "quantize.widths"
#: What a budget was spent on, beside the graphs.
ALLOCATION = "allocation.json"
# The solver stops within an absolute 1e-6 of the optimum: in units of the largest damage times
# this, that is far below what can be measured.
_SCALE = 1e6


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
    tensors = {tensor["name"]: tensor["choices"] for tensor in measured["tensors"]}
    options = [
        [_measured(name, tensors.get(name, []), width) for width in widths.choices]
        for name in names
    ]
    sizes = [[choice["bytes"] for choice in row] for row in options]
    budget, kept = widths.budget(inventory.parameters), inventory.kept(names)
    _require_room(widths, inventory, kept + sum(map(min, sizes)), budget)
    allocation = allocate(sizes, [[c["kl_mean"] for c in row] for row in options], budget - kept)
    chosen = [row[index] for row, index in zip(options, allocation.chosen, strict=True)]
    total = kept + allocation.bytes
    return {
        "budget_bytes": budget,
        "bytes": total,
        "kept_bytes": kept,
        "bits_per_weight": 8 * total / inventory.parameters,
        "kl_sum": allocation.damage,
        "gap": allocation.gap,
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


@dataclass(frozen=True)
class Allocation:
    """`chosen` is the index of each tensor's choice; no allocation has less damage than `bound`."""

    chosen: tuple[int, ...]
    bytes: int
    damage: float
    bound: float

    @property
    def gap(self) -> float:
        """The share of the damage that a better allocation could save at most."""
        return max(0.0, 1 - self.bound / self.damage) if self.damage > 0 else 0.0


def allocate(
    sizes: Sequence[Sequence[int]], damages: Sequence[Sequence[float]], budget: int
) -> Allocation:
    """Choose for each tensor, so that the summed damage is smallest within a budget of bytes.

    A multiple-choice knapsack: minimize sum d[t, c] x[t, c] over x in {0, 1} with one choice per
    tensor and sum b[t, c] x[t, c] <= budget. Mixed-integer programming solves it and bounds how far
    the result can be from the optimum.

    Args:
        sizes: bytes of each choice, a row a tensor; rows may differ in length.
        damages: of the same choices, finite, from 0 up.
        budget: bytes of all chosen together.

    Raises:
        ValueError: even the smallest choices exceed the budget.
    """
    # They take half a second to load, and only a budget needs them.
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    if (smallest := sum(map(min, sizes))) > budget:
        raise ValueError(f"budget {budget} is below the smallest size {smallest}")
    rows = np.repeat(np.arange(len(sizes)), [len(row) for row in sizes])
    size = np.concatenate([np.asarray(row, np.int64) for row in sizes])
    damage = np.concatenate([np.asarray(row, np.float64) for row in damages])
    unit = float(damage.max()) / _SCALE or 1.0
    # Bytes come in steps (of a scale, of a block): whole numbers of steps are small ones.
    step = int(np.gcd.reduce(size)) or 1
    result = milp(
        damage / unit,
        integrality=np.ones(rows.size),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(csr_array((np.ones(rows.size), (rows, np.arange(rows.size)))), 1, 1),
            LinearConstraint(csr_array(size[None] // step), -np.inf, budget // step),
        ],
        options={"mip_rel_gap": 0.0},
    )
    taken = np.flatnonzero(result.x > 0.5) if result.x is not None else np.zeros(0, np.int64)
    if not np.array_equal(rows[taken], np.arange(len(sizes))) or size[taken].sum() > budget:
        raise RuntimeError(f"the solver gave no allocation: {result.message}")
    starts = np.searchsorted(rows, np.arange(len(sizes)))
    return Allocation(
        chosen=tuple(int(index) for index in taken - starts),
        bytes=int(size[taken].sum()),
        damage=float(damage[taken].sum()),
        bound=max(0.0, float(result.mip_dual_bound)) * unit,
    )


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
    limit = getattr(widths, widths.limit)
    unit = 1e6 if widths.limit == "megabytes" else inventory.parameters / 8
    # Rounded up, so that the number works when it is copied.
    accepted = math.ceil(least / unit * 1000) / 1000
    raise SettingError(
        f"{KEY}.{widths.limit}",
        f"found {limit:g}, accepted: at least {accepted:g}, which is the smallest of "
        f"{KEY}.choices for every tensor, and what stays in float; give more room, or smaller "
        "choices",
    )
