"""The application that commands register with, and what they share."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from quantkit import __version__

STORE = Path(".quantkit/store")

app = App(
    name="quantkit",
    help="Turn NeMo streaming transducers into small, fast, proven ONNX graphs.",
    version=__version__,
    suppress_keyboard_interrupt=False,
)
