"""Commands that take a recipe, or an artifact back to its checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD

from quantkit.cli.app import STORE, Flag, Overrides, app, open_artifact
from quantkit.cli.console import Table, complain, messages, say, show
from quantkit.cli.show.recipes import (
    allocation_table,
    calibration_table,
    parity_table,
    plan_line,
    sensitivity_table,
    size_line,
)
from quantkit.core.errors import GateError, InputError
from quantkit.core.targets import check_file


@app.command(name="recipes")
def list_recipes(name: str | None = None, /) -> None:
    """List the recipes and suites that ship with quantkit, or print one of them.

    Args:
        name: of the one to print.
    """
    from quantkit.recipe.library import about, find_shipped, shipped_recipes, shipped_suites

    kinds = {"recipe": shipped_recipes(), "suite": shipped_suites()}
    if name is not None:
        file = find_shipped(Path(name), {**kinds["suite"], **kinds["recipe"]})
        say(file.read_text(encoding="utf-8"), end="")
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in ("name", "kind", "about"):
        table.add_column(head, overflow="fold")
    for kind, files in kinds.items():
        for shipped, file in files.items():
            table.add_row(shipped, kind, about(file))
    show(table)
    say("Their demo checkpoint and speech lie in the sources, in demo/ and calibration/.")


@app.command
def build(
    recipe: Path,
    /,
    *,
    set_: Overrides = (),
    out: Path | None = None,
    store: Path = STORE,
    plan: Flag = False,
    force: Flag = False,
) -> None:
    """Build an artifact from a recipe; stages whose results are in the store are not run again.

    Args:
        recipe: a YAML file, or the name of a shipped recipe; see `quantkit recipes`.
        set_: KEY=VALUE put over the recipe, such as model.chunk_ms=160; may be repeated.
        out: the artifact directory; default artifacts/NAME of the recipe.
        store: where results of stages are kept and found again.
        plan: only print each stage, whether its result is stored and why it would run.
        force: run every stage again.
    """
    from quantkit.build.artifact import build, plan_build
    from quantkit.build.progress import progress_on
    from quantkit.build.store import Store
    from quantkit.recipe.load import load_recipe, located

    loaded = load_recipe(recipe, set_)
    target = out or Path("artifacts") / loaded.name
    results = Store(store)
    if plan:
        with located(recipe, set_):
            rows = plan_build(loaded, target, results, force=force)
        for row in rows:
            say(plan_line(row))
        return
    with located(recipe, set_):
        _tell_left_out(loaded)
        built = build(loaded, target, results, progress_on(messages()), force=force)
    for graph, facts in built.manifest["graphs"].items():
        for note in facts.get("notes", []):
            complain(f"note: {graph}: {note}")
    if built.allocation is not None:
        show(allocation_table(built.allocation))
    say(f"{built.artifact}: {size_line(built.manifest)}")
    _judge(built.manifest["parity"], built.gates)


@app.command
def calibrate(
    recipe: Path,
    /,
    *,
    set_: Overrides = (),
    store: Path = STORE,
    hessians: Flag = False,
    out: Path | None = None,
) -> None:
    """Measure on a recipe's speech what its weights are multiplied with.

    Args:
        recipe: a YAML file, or the name of a shipped recipe; see `quantkit recipes`.
        set_: KEY=VALUE put over the recipe, such as calibrate.folder=speech; may be repeated.
        store: where results of stages are kept and found again.
        hessians: measure all second moments of each input too, also if the scheme needs none.
        out: also copy the statistics there, for `quantkit quantize --calibration`.
    """
    from quantkit.build.calibration import calibrate_recipe, check_copy, copy_statistics
    from quantkit.build.progress import progress_on
    from quantkit.build.store import Store
    from quantkit.recipe.load import load_recipe, located

    if out is not None:
        check_copy(out)
    loaded, results = load_recipe(recipe, set_), Store(store)
    with located(recipe, set_):
        _tell_left_out(loaded)
        calibrated = calibrate_recipe(loaded, results, progress_on(messages()), hessians=hessians)
    if out is not None:
        copy_statistics(calibrated, out)
    show(calibration_table(calibrated.report))
    say(f"statistics in {out or calibrated.directory}")


@app.command
def sensitivity(
    recipe: Path,
    /,
    *,
    set_: Overrides = (),
    store: Path = STORE,
    json: Path | None = None,
    plot: Path | None = None,
) -> None:
    """Measure what each tensor at each width does to the joint's distributions.

    The algorithm is the recipe's, the speech its calibration speech; a budget is allocated as well.

    Args:
        recipe: a YAML file, or the name of a shipped recipe; see `quantkit recipes`.
        set_: KEY=VALUE put over the recipe, such as sensitivity.utterances=8; may be repeated.
        store: where results of stages are kept and found again.
        json: also write the measurements there.
        plot: also draw them there, an .svg or .png file.
    """
    from quantkit.build.progress import progress_on
    from quantkit.build.sensitivity import measure_recipe
    from quantkit.build.store import Store
    from quantkit.core.files import write_json
    from quantkit.recipe.load import load_recipe, located

    if json is not None:
        check_file("--json", json)
    if plot is not None:
        check_file("--plot", plot)
    loaded = load_recipe(recipe, set_)
    with located(recipe, set_):
        _tell_left_out(loaded)
        measured = measure_recipe(loaded, Store(store), progress_on(messages()), plot)
    if json is not None:
        write_json(json, measured.sensitivity)
    show(sensitivity_table(measured.sensitivity))
    if measured.allocation is not None:
        show(allocation_table(measured.allocation))


@app.command
def verify(
    artifact: str,
    /,
    *,
    manifest: Path | None = None,
    suite: Path | None = None,
    source: Path | None = None,
    store: Path = STORE,
    json: Path | None = None,
) -> None:
    """Compare an artifact with the PyTorch model it was made from, token by token.

    Args:
        artifact: the artifact directory, or hf://ORGANISATION/NAME[@REVISION].
        manifest: speech to compare on, as JSON lines; default the recipe's.
        suite: speech to compare on, as a suite: all of its sets together.
        source: the .nemo file; default what the recipe names.
        store: where decoded speech and what was said of it are kept and found again.
        json: also write the report there.
    """
    from quantkit.build.progress import progress_on
    from quantkit.build.store import Store
    from quantkit.build.verify import verify_artifact
    from quantkit.core.files import write_json
    from quantkit.recipe.suite_file import load_suite

    if json is not None:
        check_file("--json", json)
    if suite is not None and manifest is not None:
        raise InputError("verify: found --manifest and --suite, accepted: one of them")
    speech = manifest if suite is None else load_suite(suite)
    folder = open_artifact(artifact)
    proof = verify_artifact(folder, speech, source, Store(store), progress_on(messages()))
    if json is not None:
        write_json(json, proof.parity)
    _judge(proof.parity, proof.gates)


def _tell_left_out(recipe: Any) -> None:
    from quantkit.build.speech import left_out

    word = left_out(recipe)
    if word:
        complain(word)


def _judge(parity: Any, gates: Sequence[Any]) -> None:
    from quantkit.report.format import describe_gate

    show(parity_table(parity))
    for gate in gates:
        say(f"gate {describe_gate(gate)}")
    missed = [describe_gate(gate) for gate in gates if not gate.passed]
    if missed:
        raise GateError("\n".join(f"gate missed: {gate}" for gate in missed))
