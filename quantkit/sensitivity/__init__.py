"""What each tensor does to the joint's distributions when it alone is quantized."""

from __future__ import annotations

from quantkit.sensitivity.model import measure_sensitivity

__all__ = ["measure_sensitivity"]
