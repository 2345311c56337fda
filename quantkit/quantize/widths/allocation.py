"""One choice for each tensor, so that the summed damage is smallest within a budget of bytes.

A multiple-choice knapsack: minimize sum d[t, c] x[t, c] over x in {0, 1} with one choice per tensor
and sum b[t, c] x[t, c] <= budget. Mixed-integer programming solves it and bounds how far the result
can be from the optimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

# The solver stops within an absolute 1e-6 of the optimum: in units of the largest damage times
# this, that is far below what can be measured.
_SCALE = 1e6


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


def smallest(sizes: Sequence[Sequence[int]]) -> int:
    """Bytes with the smallest choice everywhere."""
    return sum(min(row) for row in sizes)


def allocate(
    sizes: Sequence[Sequence[int]], damages: Sequence[Sequence[float]], budget: int
) -> Allocation:
    """Choose for each tensor.

    Args:
        sizes: bytes of each choice, a row a tensor; rows may differ in length.
        damages: of the same choices, finite, from 0 up.
        budget: bytes of all chosen together.

    Raises:
        ValueError: even the smallest choices exceed the budget.
    """
    if smallest(sizes) > budget:
        raise ValueError(f"budget {budget} is below the smallest size {smallest(sizes)}")
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
