"""Files that are either complete or absent, and their digests."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with one possible spelling, for digests: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256_json(value: Any) -> str:
    """Hexadecimal SHA-256 of the canonical JSON of a value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON so that the file is complete or absent."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text so that the file is complete or absent."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it is complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_tree(directory: Path) -> None:
    """Flush every file below a directory, and the directories, to the disk."""
    for path in [*directory.rglob("*"), directory]:
        _sync(path)


def leftovers(final: Path) -> list[Path]:
    """The temporary directories that killed runs of `complete_directory` left beside `final`."""
    return sorted(final.parent.glob(f".{final.name}.partial-*"))


@contextmanager
def complete_directory(final: Path) -> Iterator[Path]:
    """Yield a temporary sibling that becomes `final` only when the block ends without an error.

    An existing `final` is replaced. A killed process leaves at most `leftovers(final)`.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_sibling(final)
    try:
        yield temporary
        sync_tree(temporary)
        if final.exists():
            retired = _temporary_sibling(final)
            final.replace(retired / "old")
            temporary.replace(final)
            shutil.rmtree(retired)
        else:
            temporary.replace(final)
        _sync(final.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _temporary_sibling(final: Path) -> Path:
    temporary = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}.partial-"))
    temporary.chmod(0o755)
    return temporary


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
