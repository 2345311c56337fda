"""Activation statistics from speech, and the measured damage of each tensor."""
