"""The measured damage of a recipe's tensors, and what its budget would be spent on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from quantkit.build.checkpoint import find_checkpoint
from quantkit.build.engine import run
from quantkit.build.progress import StageProgress
from quantkit.build.speech import check_speech
from quantkit.build.stages import sensitivity_chain
from quantkit.build.store import Store
from quantkit.calibrate.sensitivity.plot import check_plot, plot_sensitivity
from quantkit.graph.files import load_model
from quantkit.quantize.widths.budget import AllocationReport
from quantkit.quantize.widths.measured import Sensitivity, load_sensitivity
from quantkit.quantize.widths.mixed import resolve
from quantkit.quantize.widths.settings import MixedSettings
from quantkit.recipe.schema import Recipe
from quantkit.recipe.source import parse_source


class Measured(NamedTuple):
    """The damages, and the allocation where the recipe has a budget."""

    sensitivity: Sensitivity
    allocation: AllocationReport | None


def measure_recipe(
    recipe: Recipe, store: Store, progress: StageProgress, plot: Path | None = None
) -> Measured:
    """Run the recipe's stages up to the measured sensitivity, and draw it if `plot` is given.

    Raises:
        InputError: something that the recipe names is missing or wrong, or its budget is too small.
    """
    if plot is not None:
        check_plot(plot)
    check_speech(recipe)
    stages = sensitivity_chain(recipe, find_checkpoint(parse_source(recipe.model.source)))
    done = run(stages, store, recipe.name, progress)
    directory = done["sensitivity"].directory
    allocation = None
    if isinstance(recipe.quantize, MixedSettings):
        paths = sorted(done["fuse"].directory.glob("*.onnx"))
        graphs = {path.stem: load_model(path) for path in paths}
        allocation = resolve(recipe.quantize, graphs, directory).allocation
    sensitivity = load_sensitivity(directory)
    if plot is not None:
        plot_sensitivity(sensitivity, plot)
    return Measured(sensitivity, allocation)
