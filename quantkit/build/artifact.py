"""A recipe into an artifact, or into the plan of one."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import quantkit
from quantkit.build.checkpoint import Checkpoint, find_checkpoint
from quantkit.build.digests import Digests
from quantkit.build.engine import Row, Stage, keys, plan, run, stage_version
from quantkit.build.key import StageKey, differences
from quantkit.build.progress import StageProgress
from quantkit.build.speech import check_speech
from quantkit.build.stages import PARITY, chain, model_stage
from quantkit.build.store import Store
from quantkit.build.stored_result import Entry
from quantkit.bundle.manifest import MANIFEST, file_problems, load_manifest, seal_problem
from quantkit.core.errors import InputError
from quantkit.core.files import complete_directory, recover
from quantkit.core.strict_json import read_json
from quantkit.core.targets import check_directory, check_replaceable
from quantkit.evaluate.gates import recipe_gates
from quantkit.quantize.widths.budget import ALLOCATION
from quantkit.recipe.schema import Recipe
from quantkit.recipe.source import parse_source
from quantkit.report.schema import Gate
from quantkit.speech.manifest import read_manifest

#: How a plan begins to say that an artifact is not what it was and is written again.
DAMAGED = "the artifact's"


@dataclass(frozen=True)
class Built:
    """A finished artifact: where it is, its parity and what the gates say about it.

    `allocation` is what a budget was spent on, where the recipe has one.
    """

    artifact: Path
    manifest: Mapping[str, Any]
    gates: list[Gate]
    allocation: Mapping[str, Any] | None = None


def plan_build(recipe: Recipe, out: Path, store: Store, *, force: bool = False) -> list[Row]:
    """What `build` would do, without doing it."""
    _check(recipe, out)
    stages = chain(recipe, find_checkpoint(parse_source(recipe.model.source)))
    rows = plan(stages, store, recipe.name, force=force)
    key = _bundle_key(recipe, stages)
    why = "forced" if force else _why(out, key, Digests(out))
    return [*rows, Row("bundle", key, cached=not why, why=why)]


def build(
    recipe: Recipe, out: Path, store: Store, progress: StageProgress, *, force: bool = False
) -> Built:
    """Run the recipe's stages and write the artifact directory `out`.

    Raises:
        InputError: something that the recipe names is missing or wrong, or `out` holds other files.
    """
    _check(recipe, out)
    checkpoint = find_checkpoint(parse_source(recipe.model.source))
    stages = chain(recipe, checkpoint)
    key = _bundle_key(recipe, stages)
    digests = Digests(out)  # of files that no stage changes, so each is read once
    why = "forced" if force else _why(out, key, digests)
    if why:
        _check_place(recipe, checkpoint, out, store)
    done = run(stages, store, recipe.name, progress, force=force)
    with store.locked_output(out):
        recover(out)  # where a killed run was replacing it
        why = "forced" if force else _why(out, key, digests)
        if why:
            if why.startswith(DAMAGED):
                progress.say(f"bundle: {why}")
            found = keys(stages)
            done |= {name: store.read(found[name]) for name in (model_stage(recipe), "verify")}
            with progress.stage("bundle"), complete_directory(out) as temporary:
                _bundle(recipe, checkpoint, stages, done, key, temporary)
        else:
            progress.cached("bundle")
    manifest = load_manifest(out)
    spent = done[model_stage(recipe)].directory / ALLOCATION
    return Built(
        out,
        manifest,
        recipe_gates(recipe.verify.gates, manifest["parity"], recipe.name, f"{MANIFEST}: parity"),
        read_json(spent) if recipe.needs_sensitivity() else None,
    )


def _check(recipe: Recipe, out: Path) -> None:
    """Everything that can be refused before the long work."""
    check_replaceable("--out", out, MANIFEST, "artifact")
    utterances = read_manifest(Path(recipe.verify.manifest))
    if recipe.verify.gates.wer_difference is not None and all(
        utterance.text is None for utterance in utterances
    ):
        raise InputError(
            f"{recipe.verify.manifest}: no utterance has a text, which the gate wer_difference of "
            f"recipe {recipe.name!r} needs; add texts or remove the gate"
        )
    if recipe.needs_calibration() or recipe.needs_sensitivity():
        check_speech(recipe)


def _check_place(recipe: Recipe, checkpoint: Checkpoint, out: Path, store: Store) -> None:
    """Refuse a directory that could not be written in the end, or must not be."""
    needed = [store.root, checkpoint.path, Path(recipe.verify.manifest)]
    check_directory("--out", out, needed)
    if out.resolve().is_relative_to(store.root.resolve()):
        raise InputError(f"--out {out}: lies in the store {store.root}; name another directory")


def _bundle_key(recipe: Recipe, stages: list[Stage]) -> StageKey:
    inputs = {name: key.digest for name, key in keys(stages).items()}
    used = {name: inputs[name] for name in (model_stage(recipe), "verify")}
    version = stage_version(1, "bundle.native")
    return StageKey("bundle", version, recipe.canonical(), used, _versions(stages))


def _versions(stages: list[Stage]) -> dict[str, str]:
    libraries = {name: version for stage in stages for name, version in stage.libraries.items()}
    own = {"quantkit": quantkit.__version__, "python": platform.python_version()}
    return own | dict(sorted(libraries.items()))


def _why(out: Path, key: StageKey, digests: Digests) -> str:
    """Why the artifact has to be written; empty if it is there already."""
    if not (out / MANIFEST).is_file():
        return "never run"
    try:
        manifest = load_manifest(out)
    except InputError as error:
        return f"{DAMAGED} {MANIFEST} is damaged: {error}"
    if problem := seal_problem(manifest):
        return f"{DAMAGED} {MANIFEST} {problem}"
    if wrong := file_problems(out, manifest, lambda path: digests.of(path.name)):
        return f"{DAMAGED} {', '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} damaged"
    if manifest["key"] == key.digest:
        return ""
    new = {"settings": dict(key.settings), "libraries": dict(key.libraries)}
    old = {"settings": manifest["recipe"], "libraries": manifest["versions"]}
    return "; ".join(differences(new, old)) or "its inputs changed"


def _bundle(
    recipe: Recipe,
    checkpoint: Checkpoint,
    stages: list[Stage],
    done: Mapping[str, Entry],
    key: StageKey,
    out: Path,
) -> None:
    from quantkit.bundle.native import Facts, bundle_native

    model = done[model_stage(recipe)]
    report = model.directory / "quantize.json"
    facts = Facts(
        recipe=recipe.canonical(),
        source={
            "name": checkpoint.name,
            "revision": checkpoint.revision,
            "sha256": checkpoint.sha256,
        },
        versions=_versions(stages),
        # Recipes that make the same graphs share the report, so only here it gets a name.
        parity=read_json(done["verify"].directory / PARITY) | {"candidate": recipe.name},
        graphs=read_json(report)["graphs"] if recipe.quantize is not None else None,
        key=key.digest,
    )
    digests = {name: file["sha256"] for name, file in model.files.items()}
    bundle_native(model.directory, out, facts, digests)
