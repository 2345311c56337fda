"""Stages, the content-addressed store, plans, gates: a recipe becomes an artifact."""

from quantkit.pipeline.builder import Built, build, plan_build
from quantkit.pipeline.engine import Row
from quantkit.pipeline.gates import GateResult
from quantkit.pipeline.proof import Proof, verify_artifact
from quantkit.pipeline.store import Store

__all__ = ["Built", "GateResult", "Proof", "Row", "Store", "build", "plan_build", "verify_artifact"]
