"""What the store holds and which recipes use it, and the removal of what is not needed."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantkit.build.checkpoint import find_checkpoint
from quantkit.build.engine import keys
from quantkit.build.stages import chain, streaming_reference
from quantkit.build.store import SCRATCH, Store
from quantkit.build.stored_result import ENTRY, Entry
from quantkit.core.errors import InputError
from quantkit.core.files import PARTIAL
from quantkit.core.strict_json import read_json
from quantkit.evaluate.keys import system_digest
from quantkit.evaluate.system import GraphSystem, System, model_digest
from quantkit.recipe.schema import Recipe
from quantkit.recipe.source import parse_source

#: Folders of the store that hold no results of stages.
RESULTS, SPEECH, SPEED, LOCKS = "results", "speech", "speed", "locks"
#: What killed runs left: useless, and what their next run goes on from.
LEFTOVERS, SCRATCHES = "leftovers", "unfinished"
#: Graphs that systems are made of.
_MODELS = ("export", "fuse", "quantize")
_SECONDS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


@dataclass(frozen=True)
class Item:
    """Something in the store that is kept or removed as a whole.

    Attributes:
        kind: a stage, or what else is stored.
        path: a directory or a file.
        bytes: of all files in it.
        used: when it was used last, seconds since the epoch.
        recipes: names of the recipes that it was made for or that lead through it.
    """

    kind: str
    path: Path
    bytes: int
    used: float
    recipes: frozenset[str]


def seconds_of(age: str) -> float:
    """The seconds of an age such as 12h, 30d or 2w.

    Raises:
        InputError: it is written otherwise.
    """
    match = re.fullmatch(r"(\d{1,6})([hdw])", age)
    if match is None:
        raise InputError(f"--older-than: found {age!r}, accepted: hours, days or weeks as 12h, 30d")
    return float(match[1]) * _SECONDS[match[2]]


def inventory(store: Store) -> list[Item]:
    """Everything in the store but its locks and journals; links in it are not followed.

    Raises:
        InputError: there is no such directory.
    """
    if not store.root.is_dir():
        raise InputError(f"--store {store.root}: found no such directory, accepted: a store")
    entries = {entry.path.name: entry for entry in store.entries()}
    users = _users(entries)
    models: defaultdict[str, set[str]] = defaultdict(set)
    for digest, entry in entries.items():
        if entry.key["stage"] in _MODELS:
            files = {name: facts["sha256"] for name, facts in entry.files.items()}
            models[model_digest(files)] |= users[digest]
        if "checkpoint" in entry.key["inputs"]:
            models[entry.key["inputs"]["checkpoint"]] |= users[digest]
    items = []
    for folder in sorted(_folders(store.root)):
        if folder.name == LOCKS:
            continue
        for path in sorted(_wholes(folder)):
            recipes: Iterable[str] = users.get(path.name, ())
            if folder.name == RESULTS:
                recipes = models[_subject(path)]
            kind = LEFTOVERS if path.name.endswith(PARTIAL) else folder.name
            kind = SCRATCHES if path.name.endswith(SCRATCH) else kind
            items.append(Item(kind, path, _bytes(path), path.lstat().st_mtime, frozenset(recipes)))
    return items


def unneeded(
    items: Sequence[Item], older_than_s: float | None, needed: set[str] | None, now: float
) -> list[Item]:
    """What may go: leftovers, what was not used for so long, and what no kept recipe needs.

    Args:
        items: see `inventory`.
        older_than_s: age of the last use; None removes nothing for its age.
        needed: names of the directories that kept recipes need, which stay at any age; None where
            no recipe is named. Decoded speech and speed go by their age alone.
        now: seconds since the epoch.
    """

    def goes(item: Item) -> bool:
        if item.kind == LEFTOVERS:
            return True
        if needed is not None and _result_of(item.path) in needed:
            return False
        old = older_than_s is not None and now - item.used > older_than_s
        by_age = item.kind in {SPEECH, SPEED} or needed is None
        return old if by_age or older_than_s is not None else True

    return [item for item in items if goes(item)]


def needed_by(recipe: Recipe, store: Store) -> set[str]:
    """Names of the directories that a build of a recipe finds its results in.

    Raises:
        InputError: the checkpoint or speech that the recipe names is missing or wrong.
    """
    checkpoint = find_checkpoint(parse_source(recipe.model.source))
    found = keys(chain(recipe, checkpoint))
    pytorch = streaming_reference(checkpoint, recipe.model.chunk_ms)
    systems: list[System] = [pytorch]
    for stage in _MODELS:
        if stage in found and store.has(found[stage]):
            directory = store.read(found[stage]).directory
            systems.append(GraphSystem.of(stage, directory, pytorch))
    return {key.digest for key in found.values()} | {system_digest(system) for system in systems}


def _result_of(path: Path) -> str:
    """The name of a result, or of the one that a scratch is for."""
    return path.name.removeprefix(".").removesuffix(SCRATCH)


def remove(items: Iterable[Item]) -> None:
    """Remove items; a directory that was being removed when the process died is a leftover."""
    for item in items:
        gone = item.path.with_name(f".{item.path.name}{PARTIAL}")
        if item.kind == LEFTOVERS or gone.exists():
            gone = item.path
        else:
            item.path.rename(gone)
        shutil.rmtree(gone) if gone.is_dir() and not gone.is_symlink() else gone.unlink()


def _users(entries: Mapping[str, Entry]) -> dict[str, set[str]]:
    """The recipes of each stored result and of all that was made from it, by its digest."""
    users = {digest: {entry.recipe} for digest, entry in entries.items()}
    changed = True
    while changed:
        changed = False
        for digest, entry in entries.items():
            for upstream in entry.key["inputs"].values():
                if upstream in users and not users[digest] <= users[upstream]:
                    users[upstream] |= users[digest]
                    changed = True
    return users


def _wholes(folder: Path) -> Iterator[Path]:
    """What is kept or removed as a whole in a folder of the store."""
    if folder.name == SPEECH:  # by sample rate, and spread over folders by the first letters
        spread = (below for rate in _folders(folder) for below in _folders(rate))
        for path in (path for below in spread for path in below.iterdir()):
            if path.name.endswith((".flac", PARTIAL)):
                yield path
        return
    for path in folder.iterdir():
        left = path.name.startswith(".") and path.name.endswith((PARTIAL, SCRATCH))
        if left or folder.name in {RESULTS, SPEED} or (path / ENTRY).is_file():
            yield path


def _folders(folder: Path) -> Iterator[Path]:
    """The folders in a folder; links are not followed."""
    yield from (path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())


def _subject(results: Path) -> str:
    """The digest of the graphs or of the checkpoint that results are of."""
    try:
        key: Any = read_json(results / "key.json")
    except InputError:
        return ""
    return str(key.get("graphs") or key.get("checkpoint")) if isinstance(key, dict) else ""


def _bytes(path: Path) -> int:
    if path.is_symlink() or path.is_file():
        return path.lstat().st_size
    return sum(below.lstat().st_size for below in path.rglob("*") if not below.is_dir())
