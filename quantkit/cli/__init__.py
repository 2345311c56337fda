"""The command line: parse, call, print. Exit codes: 0 done, 1 gate, 2 input, 3 extra missing."""

from quantkit.cli import bundle, comparison, publish, recipes, speech, tools
from quantkit.cli.app import app
from quantkit.cli.main import main

__all__ = ["app", "bundle", "comparison", "main", "publish", "recipes", "speech", "tools"]
