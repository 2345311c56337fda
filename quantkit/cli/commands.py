"""All commands, registered with the application."""

from cyclopts import CycloptsError

from quantkit.cli import bundling, comparing, publishing, recipes, store, tools, transcribing
from quantkit.cli.app import app

__all__ = [
    "CycloptsError",
    "app",
    "bundling",
    "comparing",
    "publishing",
    "recipes",
    "store",
    "tools",
    "transcribing",
]
