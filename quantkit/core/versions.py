"""Versions of what computes a result: installed libraries, and the code of rooms."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from pathlib import Path

import quantkit
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


def code_digest(rooms: Iterable[str]) -> str:
    """Digest of the sources of rooms of quantkit, so that a changed stage never looks cached."""
    root = Path(quantkit.__file__).parent
    files = sorted(path for room in rooms for path in (root / room).rglob("*.py"))
    return sha256_json({str(path.relative_to(root)): sha256_file(path) for path in files})[:12]
