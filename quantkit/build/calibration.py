"""A recipe into activation statistics alone."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantkit.build.checkpoint import find_checkpoint
from quantkit.build.engine import run
from quantkit.build.progress import StageProgress
from quantkit.build.speech import check_speech
from quantkit.build.stages import calibration_chain
from quantkit.build.store import Store
from quantkit.calibrate.statistics import REPORT
from quantkit.core.files import complete_directory
from quantkit.core.strict_json import read_json
from quantkit.core.targets import check_directory, check_replaceable
from quantkit.recipe.schema import Recipe
from quantkit.recipe.source import parse_source


@dataclass(frozen=True)
class Calibrated:
    """Where the graphs and their statistics are, to be read only; content of calibration.json."""

    model: Path
    directory: Path
    report: Mapping[str, Any]


def calibrate_recipe(
    recipe: Recipe, store: Store, progress: StageProgress, *, hessians: bool = False
) -> Calibrated:
    """Run a recipe's chain up to its calibration; with Hessians if asked for or needed.

    Raises:
        InputError: something that the recipe names is missing or wrong.
    """
    check_speech(recipe)
    checkpoint = find_checkpoint(parse_source(recipe.model.source))
    hessians = hessians or recipe.needs_hessians()
    stages = calibration_chain(recipe, checkpoint, hessians=hessians)
    done = run(stages, store, recipe.name, progress)
    directory = done["calibrate"].directory
    report = read_json(directory / REPORT)
    return Calibrated(done["fuse"].directory, directory, report)


def check_copy(out: Path) -> None:
    """Refuse a directory that statistics could not be copied to.

    Raises:
        InputError: `out` holds other files or cannot be written.
    """
    check_directory("--out", out)
    check_replaceable("--out", out, REPORT, "statistics")


def copy_statistics(calibrated: Calibrated, out: Path) -> None:
    """Copy the statistics into `out`, complete or not at all.

    Raises:
        InputError: see `check_copy`.
    """
    check_copy(out)
    with complete_directory(out) as temporary:
        for path in sorted(calibrated.directory.rglob("*")):
            target = temporary / path.relative_to(calibrated.directory)
            # Modes are those of now, not those that the store was filled with.
            target.mkdir() if path.is_dir() else shutil.copyfile(path, target)
