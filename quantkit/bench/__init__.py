"""Measure: step times, speed, memory and size, and the models to measure with."""

from quantkit.bench.steps import bench

__all__ = ["bench"]
