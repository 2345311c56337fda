"""A place for what libraries keep between runs, where there is no home to keep it in."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quantkit.core.files import temporary_directory

#: Some libraries fail without one, the others complain.
_FOLDERS = {"NUMBA_CACHE_DIR": "numba", "MPLCONFIGDIR": "matplotlib", "HOME": "home"}


@contextmanager
def caches() -> Iterator[None]:
    """For the block, give libraries a temporary directory if neither home nor they are writable."""
    if _can_write(_home()) or _can_write(Path(sysconfig.get_path("purelib"))):
        yield
        return
    with temporary_directory() as folder:
        missing = {
            name: str(folder / below) for name, below in _FOLDERS.items() if name not in os.environ
        }
        os.environ.update(missing)
        try:
            yield
        finally:
            for name in missing:
                del os.environ[name]


def _home() -> Path:
    """Where programs of this user keep things; a user whom nobody knows has no such place."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return Path(os.devnull if home.startswith("~") else home)


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
