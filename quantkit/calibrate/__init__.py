"""What the weights are multiplied with: activation statistics from speech."""

from __future__ import annotations

from quantkit.calibrate.model import calibrate

__all__ = ["calibrate"]
