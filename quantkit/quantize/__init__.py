"""Weights to few bits: algorithms as plain functions on arrays, and the graphs they go into."""

from __future__ import annotations

from quantkit.quantize.model import quantize_model
from quantkit.quantize.settings import QuantizeSettings, parse_settings

__all__ = ["QuantizeSettings", "parse_settings", "quantize_model"]
