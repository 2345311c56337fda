"""Packages that are called like a function of theirs.

`from quantkit import build, quantize` is the Python API, and both are packages as well: importing
one binds its name in `quantkit`, so the package itself takes the call.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


def make_callable(package: str, module: str, function: str) -> None:
    """Let a call of a package be one of a function, whose module is imported then."""

    class CallablePackage(ModuleType):
        def __call__(self, *args: Any, **settings: Any) -> Any:
            return getattr(import_module(module), function)(*args, **settings)

    sys.modules[package].__class__ = CallablePackage
