"""What the store holds, and the removal of what nothing needs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from quantkit.cli.app import STORE, Flag, app
from quantkit.cli.console import Table, say, say_json, show
from quantkit.core.files import size_text
from quantkit.core.text import one_line

store_app = App(name="store", help="What the store holds, and removal of what nothing needs.")
app.command(store_app)


@store_app.command
def du(*, store: Path = STORE, json: Flag = False) -> None:
    """Show what the store holds, by kind, and which recipes use it.

    Args:
        store: the directory.
        json: print every result as a line of JSON instead.
    """
    from quantkit.build.housekeeping import inventory
    from quantkit.build.store import Store

    items = inventory(Store(store))
    if json:
        for item in items:
            say_json(_facts(item))
        return
    table = Table(title=f"{store}: {size_text(sum(item.bytes for item in items))}")
    table.add_column("kind")
    for head in ("results", "size", "last used"):
        table.add_column(head, justify="right")
    table.add_column("used by")
    for kind in dict.fromkeys(item.kind for item in items):
        of_kind = [item for item in items if item.kind == kind]
        recipes = sorted({name for item in of_kind for name in item.recipes})
        table.add_row(
            kind,
            str(len(of_kind)),
            size_text(sum(item.bytes for item in of_kind)),
            _age(max(item.used for item in of_kind)),
            ", ".join(recipes),
        )
    show(table)


@store_app.command
def gc(
    *,
    store: Path = STORE,
    older_than: str | None = None,
    keep_recipe: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    remove: Flag = False,
) -> None:
    """Show what could be removed from the store; remove it with --remove.

    Without options that is what killed runs left and no run can use. Nothing is lost but time:
    whatever is needed again is made again.

    Args:
        store: the directory.
        older_than: also what was last used so long ago, as 12h, 30d or 2w.
        keep_recipe: also what builds of these recipes do not need; may be repeated. Together with
            older_than, what is both.
        remove: really remove it.
    """
    from quantkit.build import housekeeping
    from quantkit.build.store import Store
    from quantkit.recipe.load import load_recipe

    age_s = None if older_than is None else housekeeping.seconds_of(older_than)
    opened = Store(store)
    housekeeping.inventory(opened)  # before a lock is made in what is no store
    needed: set[str] = set()
    for path in keep_recipe:
        needed |= housekeeping.needed_by(load_recipe(path), opened)
    with opened.alone():
        items = housekeeping.unneeded(
            housekeeping.inventory(opened), age_s, needed if keep_recipe else None, time.time()
        )
        for item in items:
            age, name = _age(item.used), one_line(str(item.path.relative_to(store)))
            say(f"{size_text(item.bytes):>10}  {age:>14}  {name}")
        if remove:
            housekeeping.remove(items)
    _sum_up(items, removed=remove)


def _sum_up(items: Sequence[Any], *, removed: bool) -> None:
    size = size_text(sum(item.bytes for item in items))
    if removed:
        say(f"{len(items)} results, {size}: removed")
    elif not items:
        say("nothing to remove")
    else:
        say(f"{len(items)} results, {size}: would be removed; say --remove to do it")


def _facts(item: Any) -> dict[str, Any]:
    return {
        "kind": item.kind,
        "path": str(item.path),
        "bytes": item.bytes,
        "used": item.used,
        "recipes": sorted(item.recipes),
    }


def _age(used: float) -> str:
    """`5 hours ago`."""
    seconds = max(0.0, time.time() - used)
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
