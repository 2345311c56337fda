"""Stages, the content-addressed store, plans, gates: a recipe becomes an artifact."""

from quantkit.pipeline.builder import Built, build, plan_build
from quantkit.pipeline.calibration import Calibrated, calibrate_recipe, check_copy, copy_statistics
from quantkit.pipeline.engine import Row
from quantkit.pipeline.gates import GateResult
from quantkit.pipeline.proof import Proof, verify_artifact
from quantkit.pipeline.sensitivity import Measured, measure_recipe
from quantkit.pipeline.speech import left_out
from quantkit.pipeline.store import Store

__all__ = [
    "Built",
    "Calibrated",
    "GateResult",
    "Measured",
    "Proof",
    "Row",
    "Store",
    "build",
    "calibrate_recipe",
    "check_copy",
    "copy_statistics",
    "left_out",
    "measure_recipe",
    "plan_build",
    "verify_artifact",
]
