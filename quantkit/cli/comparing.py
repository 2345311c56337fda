"""The command that compares schemes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from quantkit.cli.app import STORE, Overrides, app
from quantkit.cli.console import messages, say, show
from quantkit.cli.show.comparison import comparison_table
from quantkit.core.errors import GateError, InputError
from quantkit.core.targets import check_directory, check_file

MOST_JOBS = 1024
SUITE = Path("demo")


@app.command
def compare(
    *recipe: Path,
    suite: Path = SUITE,
    out: Path = Path("comparison"),
    set_: Overrides = (),
    chunk_ms: Annotated[tuple[int, ...], Parameter(negative="")] = (),
    baseline: Path | None = None,
    speed: bool = True,
    jobs: int | None = None,
    dask: str | None = None,
    artifacts: Path = Path("artifacts"),
    store: Path = STORE,
) -> None:
    """Build schemes, evaluate them on the same speech, and write a report as HTML, Markdown, JSON.

    What was built, evaluated or measured before is not done again.

    Args:
        recipe: YAML files or names of shipped recipes, all of one checkpoint.
        suite: sets of speech with texts: a YAML file, the name of a shipped suite, a speech
            manifest, or a folder.
        out: directory of the report.
        set_: KEY=VALUE put over every recipe; may be repeated.
        chunk_ms: a chunk length instead of the recipes' own; may be repeated to compare lengths.
        baseline: report.json of an accepted comparison; what got worse than there fails.
        speed: measure speed and memory too.
        jobs: processes that evaluate; default one for each core.
        dask: address of a Dask scheduler whose workers evaluate instead.
        artifacts: directory of the artifacts.
        store: where stages' results, decoded speech and evaluations are kept and found again.
    """
    from quantkit.build import api
    from quantkit.build.progress import progress_on
    from quantkit.report.format import describe_gate
    from quantkit.report.write import FILES

    for name in FILES:
        check_file("--out", out / name)
    check_directory("--store", store / "speech")  # also where all else is stored already
    if jobs is not None and not 1 <= jobs <= MOST_JOBS:
        raise InputError(f"--jobs: found {jobs}, accepted: 1 to {MOST_JOBS}")
    report = api.compare(
        recipe,
        suite,
        out=out,
        overrides=set_,
        chunks_ms=chunk_ms,
        baseline=baseline,
        speed=speed,
        jobs=jobs,
        dask=dask,
        artifacts=artifacts,
        store=store,
        progress=progress_on(messages()),
    )
    show(comparison_table(report))
    say(f"{out}: report.html, report.md, report.json, junit.xml")
    missed = [describe_gate(gate) for gate in report.gates if not gate.passed]
    if report.suite.problems:
        raise InputError("\n".join([*report.suite.problems, *missed]))
    if missed:
        raise GateError("\n".join(missed))
