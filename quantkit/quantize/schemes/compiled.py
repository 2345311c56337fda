"""How the hot loops are compiled: once per machine, and so that bytes do not depend on it.

Fast-math stays off: without it every sum is added in the same order on every processor.

Where the compiled loops cannot be kept, beside their source, in the user's cache directory or in
NUMBA_CACHE_DIR, each process compiles them anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

from quantkit.core.errors import MissingExtraError

try:
    import numba
    from numba.core.caching import FunctionCache
except ImportError as error:
    raise MissingExtraError("numba", "build") from error

F = TypeVar("F", bound=Callable[..., object])
_Base: Any = FunctionCache


def serial(function: F) -> F:
    """Compile a helper that runs inside one thread."""
    return cast("F", _kept(numba.njit(error_model="numpy")(function)))


def parallel(function: F) -> F:
    """Compile a loop whose `prange` iterations are independent of each other."""
    return cast("F", _kept(numba.njit(error_model="numpy", parallel=True)(function)))


class _Cache(_Base):  # type: ignore[misc]
    """Compiled loops on a disk, which can be done without."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # noqa: BLE001 (whatever damaged bytes are unpickled to)
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(OSError):  # the disk is full, or not to be written any more
            super().save_overload(sig, data)


def _kept(dispatcher: Any) -> Any:
    with contextlib.suppress(RuntimeError):  # no directory for it can be written
        dispatcher._cache = _Cache(dispatcher.py_func)  # noqa: SLF001 (as `cache=True` does)
    return dispatcher
