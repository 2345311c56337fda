"""How the hot loops are compiled: once per machine, and so that bytes do not depend on it.

Fast-math stays off: without it every sum is added in the same order on every processor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from quantkit.core.errors import MissingExtraError

try:
    import numba
except ImportError as error:
    raise MissingExtraError("numba", "build") from error

F = TypeVar("F", bound=Callable[..., object])


def serial(function: F) -> F:
    """Compile a helper that runs inside one thread."""
    return cast("F", numba.njit(cache=True, error_model="numpy")(function))


def parallel(function: F) -> F:
    """Compile a loop whose `prange` iterations are independent of each other."""
    return cast("F", numba.njit(cache=True, error_model="numpy", parallel=True)(function))
