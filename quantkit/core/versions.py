"""Versions of what computes a result: installed libraries, and quantkit's own code."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from quantkit.core.errors import MissingExtraError
from quantkit.core.files import sha256_file, sha256_json


def library_versions(packages: Iterable[str], extra: str = "build") -> dict[str, str]:
    """Installed versions of distributions of an extra.

    Raises:
        MissingExtraError: one of them is not installed.
    """
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise MissingExtraError(package, extra) from None
    return versions


def code_digest(module: str) -> str:
    """Digest of the sources of a module of quantkit and of all that it imports of it.

    Imports inside functions count; those for type checkers alone do not.

    Raises:
        ValueError: there is no such module.
    """
    graph = _imports()
    if module not in graph.modules:
        raise ValueError(f"{module}: no such module")
    reached = {module, *graph.find_upstream_modules(module)}
    # Importing a module runs the packages that it lies in.
    reached |= {name.rsplit(".", depth)[0] for name in reached for depth in range(name.count("."))}
    return sha256_json({name: _source_digest(name) for name in reached})[:12]


@cache
def _imports() -> Any:
    import grimp

    return grimp.build_graph("quantkit", cache_dir=None, exclude_type_checking_imports=True)


@cache
def _source_digest(module: str) -> str:
    path = Path(__file__).parents[2].joinpath(*module.split("."))
    return sha256_file(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"))
