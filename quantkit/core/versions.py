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


def code_digest(*modules: str) -> str:
    """Digest of the sources of modules of quantkit and of all that they import of it.

    Imports inside functions count; those for type checkers alone do not.

    Raises:
        ValueError: there is no such module.
        MissingExtraError: grimp, which reads the imports, is not installed.
    """
    graph = _imports()
    reached = set(modules)
    for module in modules:
        if module not in graph.modules:
            raise ValueError(f"{module}: no such module")
        reached |= graph.find_upstream_modules(module)
    # Importing a module runs the packages that it lies in.
    reached |= {name.rsplit(".", depth)[0] for name in reached for depth in range(name.count("."))}
    files = {name: sha256_file(_source(name)) for name in sorted(reached)}
    return sha256_json(files)[:12]


@cache
def _imports() -> Any:
    try:
        import grimp
    except ImportError:
        raise MissingExtraError("grimp", "build") from None
    return grimp.build_graph("quantkit", cache_dir=None, exclude_type_checking_imports=True)


def _source(module: str) -> Path:
    path = Path(__file__).parents[2].joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
