"""The command line: parse, call, print. Exit codes: 0 done, 1 gate, 2 input, 3 extra missing.

What is imported here is little, so that signals are heard before the libraries are.
"""

from quantkit.cli.main import main

__all__ = ["main"]
