"""A place for what libraries keep between runs, where there is no home to keep it in."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from quantkit.core.files import temporary_directory

#: Some libraries fail without one, the others complain.
_FOLDERS = {"NUMBA_CACHE_DIR": "numba", "MPLCONFIGDIR": "matplotlib", "HOME": "home"}

#: What PyTorch would leave in the temporary folder.
_INDUCTOR = "TORCHINDUCTOR_CACHE_DIR"


@contextmanager
def caches() -> Iterator[None]:
    """For the block, tell libraries where to keep things: at home, or else until the block ends."""
    if _can_write(_home()):
        with _environment({_INDUCTOR: _home() / "torchinductor"}):
            yield
        return
    with temporary_directory() as folder:
        places = {_INDUCTOR: folder / "torchinductor"}
        if not _can_write(Path(sysconfig.get_path("purelib"))):
            places |= {name: folder / below for name, below in _FOLDERS.items()}
        with _environment(places):
            yield


@contextmanager
def _environment(places: Mapping[str, Path]) -> Iterator[None]:
    missing = {name: str(place) for name, place in places.items() if name not in os.environ}
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
