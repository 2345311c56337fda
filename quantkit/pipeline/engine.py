"""Run a chain of stages over the store, or say what would run and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantkit.core.progress import Progress
from quantkit.pipeline.key import StageKey, differences
from quantkit.pipeline.progress import StageProgress
from quantkit.pipeline.store import Entry, Store

#: Directories of upstream results, an empty directory to write into, and who draws progress.
Work = Callable[[Mapping[str, Path], Path, Progress], None]


@dataclass(frozen=True)
class Stage:
    """One step of the chain.

    `upstream` names the stages whose results it reads, `files` the digests of external files,
    `libraries` the versions that decide its bytes.
    """

    name: str
    version: str
    work: Work
    settings: Mapping[str, Any] = field(default_factory=dict)
    upstream: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)


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

    A stage that raises leaves nothing behind; those before it stay done.
    """
    store.sweep()
    done: dict[str, Entry] = {}
    for stage, key in zip(stages, keys(stages).values(), strict=True):
        with store.locked(key):
            if force or _why(key, store, recipe):
                with progress.stage(stage.name), store.writing(key, recipe) as out:
                    upstream = {name: done[name].directory for name in stage.upstream}
                    stage.work(upstream, out, progress)
            else:
                progress.cached(stage.name)
            done[stage.name] = store.read(key)
    return done


def _why(key: StageKey, store: Store, recipe: str) -> str:
    """Why the stage has to run; empty if its result is in the store."""
    entry = store.find(key)
    if entry is not None:
        damage = entry.damage()
        return f"stored result is damaged: {damage}" if damage else ""
    newest = store.newest(key.stage, recipe)
    if newest is None:
        return "never run"
    return "; ".join(differences(key.as_json(), newest.key))
