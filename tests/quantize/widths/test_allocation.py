"""Allocations against all of them."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantkit.quantize.widths.budget import allocate

Instance = tuple[list[list[int]], list[list[float]], int]


@st.composite
def instances(draw: st.DrawFn) -> Instance:
    """Up to five tensors with up to four choices, and a budget that some allocation meets."""
    choices = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    unit = draw(st.sampled_from([1, 4, 36, 4096]))
    sizes = [
        [unit * draw(st.integers(1, 400)) + draw(st.integers(0, 3)) for _ in range(count)]
        for count in choices
    ]
    scale = draw(st.sampled_from([1.0, 1e-4, 1e-9]))
    damages = [[scale * draw(st.floats(0, 1)) for _ in range(count)] for count in choices]
    most = sum(max(row) for row in sizes)
    return sizes, damages, draw(st.integers(sum(map(min, sizes)), most + 10))


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(instances())
def test_no_allocation_within_the_budget_does_less_damage(instance: Instance) -> None:
    sizes, damages, budget = instance
    found = allocate(sizes, damages, budget)
    best = min(
        sum(row[index] for row, index in zip(damages, chosen, strict=True))
        for chosen in product(*(range(len(row)) for row in sizes))
        if sum(row[index] for row, index in zip(sizes, chosen, strict=True)) <= budget
    )
    largest = max(max(row) for row in damages)
    taken = list(zip(sizes, damages, found.chosen, strict=True))
    assert found.bytes == sum(size[index] for size, _, index in taken) <= budget
    assert found.damage == pytest.approx(sum(damage[index] for _, damage, index in taken))
    # The solver's tolerance: a millionth of a millionth of the largest damage.
    assert found.damage <= best + 1e-11 * largest
    assert found.bound <= best + 1e-11 * largest
    assert 0 <= found.gap <= 1


def test_more_room_never_does_more_damage() -> None:
    sizes = [[10, 20, 40], [100, 190, 370], [8, 15, 29]]
    damages = [[0.5, 0.2, 0.01], [0.3, 0.1, 0.02], [0.9, 0.7, 0.0]]
    found = [allocate(sizes, damages, budget) for budget in range(118, 450, 7)]
    assert all(a.damage >= b.damage for a, b in pairwise(found))
    assert found[0].chosen == (0, 0, 0)
    assert found[-1].chosen == (2, 2, 2)


def test_a_full_size_model_takes_less_than_seconds() -> None:
    """Two hundred tensors, six widths, KL that falls with the bytes as it does in practice."""
    sizes = [[1000 * (4 + width) * (1 + t % 7) for width in range(6)] for t in range(200)]
    damages = [[(1 + t % 11) * 1e-4 / 4.0**width for width in range(6)] for t in range(200)]
    found = allocate(sizes, damages, int(1.3 * sum(map(min, sizes))))
    assert found.gap < 1e-6


def test_a_budget_below_the_smallest_choices_is_refused() -> None:
    with pytest.raises(ValueError, match="budget 29 is below the smallest size 30"):
        allocate([[10, 20], [20, 50]], [[1.0, 0.5], [1.0, 0.5]], 29)


def test_no_damage_at_all() -> None:
    found = allocate([[2, 1]], [[0.0, 0.0]], 1)
    assert (found.chosen, found.damage, found.gap) == ((1,), 0.0, 0.0)
