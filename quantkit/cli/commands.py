"""All commands, registered with the application."""

from cyclopts import CycloptsError

from quantkit.cli import bundle, comparison, publish, recipes, speech, tools
from quantkit.cli.app import app

__all__ = [
    "CycloptsError",
    "app",
    "bundle",
    "comparison",
    "publish",
    "recipes",
    "speech",
    "tools",
]
