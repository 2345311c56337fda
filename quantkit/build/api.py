"""The commands as functions: `from quantkit import build, compare, quantize`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quantkit.bench.machine import usable_cores
from quantkit.build import artifact, onnx_file
from quantkit.build.artifact import Built
from quantkit.build.comparison import run as comparison
from quantkit.build.progress import StageProgress, T
from quantkit.build.store import Store
from quantkit.evaluate.workers import Workers
from quantkit.quantize.inventory import GraphReport
from quantkit.quantize.settings import parse_settings
from quantkit.recipe.load import load_recipe, located
from quantkit.report.schema import Report

#: Where results of stages are kept and found again.
STORE = Path(".quantkit/store")

PathLike = str | Path


class NoProgress:
    """Draws nothing."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:  # noqa: ARG002
        """Run the stage."""
        yield

    def cached(self, name: str) -> None:
        """Say nothing."""

    def say(self, line: str) -> None:
        """Say nothing."""

    def track(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:  # noqa: ARG002
        """Yield the items."""
        yield from items


def build(
    recipe: PathLike,
    out: PathLike | None = None,
    *,
    overrides: Sequence[str] = (),
    store: PathLike = STORE,
    force: bool = False,
    progress: StageProgress | None = None,
) -> Built:
    """Build an artifact from a recipe; stages whose results are in the store are not run again.

    Args:
        recipe: a YAML file, or the name of a recipe that ships with quantkit.
        out: the artifact directory; None for artifacts/NAME of the recipe.
        overrides: KEY=VALUE put over the recipe, such as "model.chunk_ms=160".
        store: where results are kept and found again.
        force: run every stage again.
        progress: draws it; None draws nothing.

    Returns:
        The artifact's directory and manifest, and its gates; whether they passed is in them.

    Raises:
        InputError: something that the recipe names is missing or wrong.
        MissingExtraError: a library of an extra is not installed.
    """
    path = Path(recipe)
    loaded = load_recipe(path, overrides)
    target = Path(out) if out is not None else Path("artifacts") / loaded.name
    with located(path, overrides):
        return artifact.build(
            loaded, target, Store(Path(store)), progress or NoProgress(), force=force
        )


def compare(
    recipes: Sequence[PathLike],
    suite: PathLike = "demo",
    *,
    out: PathLike = "comparison",
    overrides: Sequence[str] = (),
    chunks_ms: Sequence[int] = (),
    baseline: PathLike | None = None,
    speed: bool = True,
    jobs: int | None = None,
    dask: str | None = None,
    artifacts: PathLike = "artifacts",
    store: PathLike = STORE,
    progress: StageProgress | None = None,
) -> Report:
    """Build schemes, evaluate them on the same speech, and write the report's files.

    Args:
        recipes: YAML files or names of shipped recipes, all of one checkpoint.
        suite: a YAML file, the name of a shipped suite, a speech manifest, or a folder.
        out: directory of report.json, report.md, report.html and junit.xml.
        overrides: KEY=VALUE put over every recipe.
        chunks_ms: chunk lengths instead of the recipes' own.
        baseline: report.json of an accepted comparison that this one is held against.
        speed: measure speed and memory too.
        jobs: processes that evaluate; None for one each core.
        dask: address of a Dask scheduler whose workers evaluate instead.
        artifacts: directory of the artifacts.
        store: where results are kept and found again.
        progress: draws it; None draws nothing.

    Returns:
        The report. Gates that failed, and sets that could not be used, are in it.

    Raises:
        InputError: a recipe, the suite, the baseline or something that they name is wrong.
        MissingExtraError: a library of an extra is not installed.
    """
    request = comparison.Request(
        [Path(recipe) for recipe in recipes],
        overrides,
        chunks_ms,
        Path(suite),
        None if baseline is None else Path(baseline),
        speed,
        Workers(jobs or usable_cores(), dask),
        Path(artifacts),
    )
    return comparison.compare(request, Path(out), Store(Path(store)), progress or NoProgress())


def quantize(
    model: PathLike,
    out: PathLike,
    *,
    scheme: str = "kquant",
    calibration: Sequence[PathLike] = (),
    progress: StageProgress | None = None,
    **settings: Any,
) -> GraphReport:
    """Quantize the weights of any ONNX file into `out` (and `out`.data).

    Args:
        model: the ONNX file.
        out: the file to write.
        scheme: rtn, kquant, gptq, int8-dynamic, olive or ort-dynamic-int8.
        calibration: .npz files with the model's inputs, or the directory of `quantkit calibrate`.
        progress: draws it; None draws nothing.
        settings: of the scheme, such as bits=4, block_size=32, exclude=["NAME/*"].

    Returns:
        What is stored of each tensor, and notes on what is not as asked.

    Raises:
        InputError: a setting, the file or the calibration is wrong, or nothing can be quantized.
    """
    chosen = parse_settings({"scheme": scheme, **settings})
    speech = [Path(path) for path in calibration]
    return onnx_file.quantize_file(Path(model), chosen, Path(out), progress or NoProgress(), speech)
