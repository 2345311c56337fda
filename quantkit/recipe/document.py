"""A YAML file as plain data that remembers where each key stands, and overrides of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

from quantkit.core.errors import InputError

#: The way to a value: keys of mappings and indices of lists.
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """Plain data (dicts, lists, scalars) and, for each key path, where it was written.

    `what` names the whole in messages.
    """

    name: str
    data: dict[str, Any]
    places: Mapping[KeyPath, str]
    what: str = "the recipe"

    def place(self, path: KeyPath) -> str:
        """`file:line:column` or the `--set` of a path, or of the nearest one above it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return f"{self.name}:1:1"


def read_document(path: Path, overrides: Iterable[str] = (), what: str = "the recipe") -> Document:
    """Read a YAML mapping and apply `KEY=VALUE` overrides to it.

    Keys of overrides are dotted, list items are numbers (`quantize.rules.0.bits=8`), values are
    YAML, and `null` removes a key.

    Raises:
        InputError: no such file, not YAML, not a mapping, or an override that leads nowhere.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"{path}: cannot read {what}: {reason}") from error
    data = _parse(text, str(path), "safe")
    if not isinstance(data, dict):
        raise InputError(f"{path}:1:1: found {describe(data)}, accepted: a mapping of keys")
    places = dict(_places(_parse(text, str(path), "rt"), str(path)))
    for override in overrides:
        _apply(data, places, override)
    return Document(str(path), data, places, what)


def describe(value: Any) -> str:
    """A value as an error message shows it."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else repr(value)


def dotted(path: KeyPath) -> str:
    """`quantize.rules[0].bits`."""
    words = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(words).lstrip(".")


def undotted(key: str) -> KeyPath:
    """The path of a key as `dotted` writes it."""
    parts = re.findall(r"[^.\[\]]+", key)
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def _parse(text: str, name: str, kind: str) -> Any:
    try:
        return YAML(typ=kind, pure=True).load(StringIO(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise InputError(f"{where}: not valid YAML: {error.problem or error.context}") from error


def _places(node: Any, name: str, path: KeyPath = ()) -> Iterable[tuple[KeyPath, str]]:
    if not isinstance(node, (CommentedMap, CommentedSeq)):
        return
    items = node.items() if isinstance(node, CommentedMap) else enumerate(node)
    for key, value in items:
        # A key that was merged in (`<<: *anchor`) stands elsewhere: the mapping's place is told.
        if key in (node.lc.data or {}):
            line, column = node.lc.data[key][:2]
            yield (*path, key), f"{name}:{line + 1}:{column + 1}"
        yield from _places(value, name, (*path, key))


def _apply(data: dict[str, Any], places: dict[KeyPath, str], override: str) -> None:
    key, equals, text = override.partition("=")
    origin = f"--set {override}"
    if not equals or not key:
        raise InputError(f"{origin}: accepted: KEY=VALUE, for example model.chunk_ms=160")
    value = _parse(text, origin, "safe")
    path: KeyPath = tuple(int(part) if part.isdecimal() else part for part in key.split("."))
    node: Any = data
    for depth, part in enumerate(path):
        here = dotted(path[:depth]) or "the recipe"
        if isinstance(node, list):
            if not isinstance(part, int) or part >= len(node):
                raise InputError(f"{origin}: {here} is a list of {len(node)} items, not {part!r}")
        elif not isinstance(node, dict):
            raise InputError(f"{origin}: {here} is {describe(node)}, which has no key {part!r}")
        if depth < len(path) - 1:
            if isinstance(node, dict) and node.get(str(part)) is None:
                node[str(part)] = {}
            node = node[part]
    if value is None:
        node.pop(path[-1], None) if isinstance(node, dict) else node.pop(path[-1])
    else:
        node[path[-1]] = value
    places[path] = origin
    for below in [known for known in places if known[: len(path)] == path and known != path]:
        del places[below]
