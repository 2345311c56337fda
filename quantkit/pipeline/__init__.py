"""Stages, the content-addressed store, plans, gates: a recipe becomes an artifact."""

from quantkit.pipeline.builder import Built, build, plan_build
from quantkit.pipeline.engine import Row
from quantkit.pipeline.gates import GateResult
from quantkit.pipeline.proof import Proof, verify_artifact
from quantkit.pipeline.sensitivity import Measured, measure_recipe
from quantkit.pipeline.store import Store

__all__ = [
    "Built",
    "GateResult",
    "Measured",
    "Proof",
    "Row",
    "Store",
    "build",
    "measure_recipe",
    "plan_build",
    "verify_artifact",
]
