"""Weights to few bits: algorithms as plain functions on arrays, and the graphs they go into."""
