"""The recipes and suites that ship with quantkit, each by its name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

from quantkit.core.errors import InputError

_PACKAGE = Path(__file__).parents[1]
#: In an installed package, and in a checkout.
_FOLDERS = (_PACKAGE / "shipped", _PACKAGE.parent / "recipes")


def shipped_recipes() -> Mapping[str, Path]:
    """The files of the recipes, by name."""
    return _files("*.yaml")


def shipped_suites() -> Mapping[str, Path]:
    """The files of the suites, by name."""
    return _files("suites/*.yaml")


def find_shipped(given: Path, shipped: Mapping[str, Path]) -> Path:
    """The file of a name; a path is returned as it is.

    What is a file or folder, has a suffix or lies in a folder is a path.

    Raises:
        InputError: nothing has this name.
    """
    name = str(given)
    if given.exists() or given.suffix in {".yaml", ".yml", ".jsonl"} or name != given.name:
        return given
    if name in shipped:
        return shipped[name]
    near = difflib.get_close_matches(name, shipped, n=3)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise InputError(
        f"{name!r} is no file and no name of what ships with quantkit; accepted: the path of a "
        f"YAML file, or a name that `quantkit recipes` lists.{hint}"
    )


def about(file: Path) -> str:
    """The first sentence of the comment that a recipe or suite begins with."""
    words = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        words.append(line.lstrip("# "))
    sentence, dot, _ = " ".join(words).partition(". ")
    return sentence + dot.strip()


def _files(pattern: str) -> Mapping[str, Path]:
    folder = next(filter(Path.is_dir, _FOLDERS), _FOLDERS[0])
    return {path.stem: path for path in sorted(folder.glob(pattern))}
