"""Artifacts on a model hub: published with a card, read back, and opened by name."""
