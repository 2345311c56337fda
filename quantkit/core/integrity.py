"""Whether files and JSON are what was once written: digests that they are kept with.

They show damage and careless edits; they are no signature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from quantkit.core import shapes
from quantkit.core.errors import InputError
from quantkit.core.files import sha256_file, sha256_json, write_json
from quantkit.core.strict_json import read_json

#: The key of a JSON object that holds its own digest.
SEAL = "digest"

#: The shape of a file's size and digest.
FACTS = shapes.record({"bytes": shapes.integer(), "sha256": shapes.sha256})


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content with `digest`, the SHA-256 of the canonical JSON of all its other keys."""
    rest = {key: value for key, value in content.items() if key != SEAL}
    return rest | {SEAL: sha256_json(rest)}


def seal_problem(content: Mapping[str, Any]) -> str | None:
    """What is wrong with a content's own digest; None if it is right."""
    if SEAL not in content:
        return "has no digest of its own, because an older version wrote it"
    if sealed(content)[SEAL] != content[SEAL]:
        return "was edited after it was written"
    return None


def file_facts(path: Path) -> dict[str, Any]:
    """A file's size and digest, as manifests list them."""
    return {"bytes": path.stat().st_size, "sha256": sha256_file(path)}


def size_problem(path: Path, facts: Mapping[str, Any]) -> str | None:
    """What is wrong with a file, as far as its size tells."""
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size != facts["bytes"]:
        return f"found {size} bytes, the manifest says {facts['bytes']}"
    return None


def file_problem(
    path: Path, facts: Mapping[str, Any], digest_of: Callable[[Path], str] = sha256_file
) -> str | None:
    """What is wrong with a file by its size and digest; None if it is right."""
    if problem := size_problem(path, facts):
        return problem
    try:
        digest = digest_of(path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if digest != facts["sha256"]:
        return f"found sha256 {digest[:12]}, the manifest says {facts['sha256'][:12]}"
    return None


def write_kept(path: Path, content: Mapping[str, Any]) -> None:
    """Keep an object for a later run, with its own digest."""
    write_json(path, sealed(content))


def read_kept(path: Path, shape: shapes.Shape) -> dict[str, Any]:
    """What `write_kept` wrote, without its digest.

    Raises:
        InputError: it is damaged.
    """
    try:
        content = read_json(path)
        shape(content, str(path))
        problem = seal_problem(content)
    except InputError as error:
        raise InputError(f"{error}; {_DELETE}") from error
    if problem:
        raise InputError(f"{path}: {problem}; {_DELETE}")
    del content[SEAL]
    return dict(content)


_DELETE = "delete the file and run the command again, which makes it anew"
