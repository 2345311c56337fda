"""Weights to few bits: algorithms as plain functions on arrays, and the graphs they go into."""

from quantkit.core.callable import make_callable

make_callable(__name__, "quantkit.build.api", "quantize")
