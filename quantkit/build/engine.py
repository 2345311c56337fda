"""Run a chain of stages over the store, or say what would run and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantkit.build.key import StageKey, differences
from quantkit.build.progress import StageProgress
from quantkit.build.store import Store
from quantkit.build.stored_result import DamagedError, Entry
from quantkit.core.progress import Progress
from quantkit.core.versions import code_digest

#: How a plan begins to say that a stored result is run again.
DAMAGED = "stored result is damaged"


@dataclass(frozen=True)
class Workspace:
    """What a stage works with.

    `upstream` holds the directories of the results it reads, by stage; `out` is an empty directory
    for its own; `scratch` is kept when the stage is interrupted, is found again by the next run of
    the same key, and goes when the result is complete; `store` is the directory of the store, for
    decoded speech and what systems said of it; `progress` draws what is told to it.
    """

    upstream: Mapping[str, Path]
    out: Path
    scratch: Path
    store: Path
    progress: Progress


Work = Callable[[Workspace], None]


@dataclass(frozen=True)
class Stage:
    """One step of the chain.

    `upstream` names the stages whose results it reads, `files` the digests of external files,
    `libraries` the versions that decide its bytes. `accept` raises if a result, new or stored, must
    not be used in this chain.
    """

    name: str
    version: str
    work: Work
    settings: Mapping[str, Any] = field(default_factory=dict)
    upstream: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    accept: Callable[[Path], None] = lambda _: None


@dataclass(frozen=True)
class Row:
    """One line of a plan: a stage, whether its result is there, and why it would run if not."""

    stage: str
    key: StageKey
    cached: bool
    why: str


def keys(stages: Sequence[Stage]) -> dict[str, StageKey]:
    """The key of every stage; a stage's inputs are the keys upstream and its files' digests."""
    found: dict[str, StageKey] = {}
    for stage in stages:
        inputs = {name: found[name].digest for name in stage.upstream} | dict(stage.files)
        found[stage.name] = StageKey(
            stage.name, stage.version, stage.settings, inputs, stage.libraries
        )
    return found


def plan(stages: Sequence[Stage], store: Store, recipe: str, *, force: bool = False) -> list[Row]:
    """What `run` would do, without doing it."""
    rows = []
    for stage, key in zip(stages, keys(stages).values(), strict=True):
        why = "forced" if force else _why(key, store, recipe)
        rows.append(Row(stage.name, key, cached=not why, why=why))
    return rows


def run(
    stages: Sequence[Stage],
    store: Store,
    recipe: str,
    progress: StageProgress,
    *,
    force: bool = False,
) -> dict[str, Entry]:
    """The result of every stage, from the store where it has it.

    A stage that raises leaves at most its scratch behind; those before it stay done.
    """
    store.sweep()
    done: dict[str, Entry] = {}
    found = keys(stages)
    for stage, key in zip(stages, found.values(), strict=True):
        with store.locked(key):
            why = "forced" if force else _why(key, store, recipe)
            if why:
                if force:
                    store.discard_scratch(key)
                if why.startswith(DAMAGED):
                    progress.say(f"{stage.name}: {why}")
                with progress.stage(stage.name), store.writing(key, recipe) as (out, scratch):
                    upstream = {name: done[name].directory for name in stage.upstream}
                    stage.work(Workspace(upstream, out, scratch, store.root, progress))
                    for name in stage.upstream:  # nothing is made of what was damaged meanwhile
                        store.read(found[name])
            else:
                progress.cached(stage.name)
            done[stage.name] = store.read(key)
            stage.accept(done[stage.name].directory)
    return done


def _why(key: StageKey, store: Store, recipe: str) -> str:
    """Why the stage has to run; empty if its result is in the store."""
    try:
        if store.find(key) is not None:
            return ""
    except DamagedError as error:
        return f"{DAMAGED}: {error.damage}"
    newest = store.newest(key.stage, recipe)
    if newest is None:
        return "never run"
    return "; ".join(differences(key.as_json(), newest.key))


def stage_version(number: int, module: str) -> str:
    """A stage's version: its number, and the code of the module that does its work."""
    return f"{number}+{code_digest(f'quantkit.{module}')}"
