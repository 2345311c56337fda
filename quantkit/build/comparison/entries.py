"""The recipes of a comparison, each at every chunk length asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quantkit.core.errors import InputError
from quantkit.recipe.load import load_recipe
from quantkit.recipe.schema import Recipe


@dataclass(frozen=True)
class Entry:
    """A recipe with its overrides; `name` is unique and names its row and its artifact."""

    path: Path
    overrides: tuple[str, ...]
    recipe: Recipe
    name: str


def load_entries(
    paths: Sequence[Path], overrides: Sequence[str], chunks_ms: Sequence[int]
) -> list[Entry]:
    """Read recipes; without `chunks_ms` each at the length that it names.

    Raises:
        InputError: a recipe is wrong, none was given, or two have the same name.
    """
    if not paths:
        raise InputError("compare: found no recipe, accepted: one or more")
    found = []
    for path in paths:
        for chunk_ms in chunks_ms or (None,):
            changes = (*overrides, *([] if chunk_ms is None else [f"model.chunk_ms={chunk_ms}"]))
            recipe = load_recipe(path, changes)
            name = recipe.name if len(chunks_ms) < 2 else f"{recipe.name}-{chunk_ms}ms"
            found.append(Entry(path, changes, recipe, name))
    for name, count in Counter(entry.name for entry in found).items():
        if count > 1:
            named = " and ".join(str(entry.path) for entry in found if entry.name == name)
            raise InputError(
                f"compare: found {count} recipes named {name!r} ({named}), accepted: names of "
                "their own; give one of them another `name`"
            )
    return found
