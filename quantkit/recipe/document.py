"""A YAML file as plain data that remembers where each key stands, and overrides of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantkit.core.errors import InputError
from quantkit.core.text import brief, one_line
from quantkit.recipe.yaml import MOST_CHARACTERS, MOST_LEVELS, KeyPath, parse_yaml

#: Overrides of one document, and characters of one that a message shows.
_MOST_OVERRIDES = 100
_SHOWN = 300
#: No character of UTF-8 takes more bytes.
_MOST_BYTES = 4 * MOST_CHARACTERS


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


def read_document(path: Path, overrides: Sequence[str] = (), what: str = "the recipe") -> Document:
    """Read a YAML mapping and apply `KEY=VALUE` overrides to it.

    Keys of overrides are dotted, list items are numbers (`quantize.rules.0.bits=8`), values are
    YAML, and `null` removes a key.

    Raises:
        InputError: no such file, not YAML, not a mapping, too large, or an override that leads
            nowhere.
    """
    name = one_line(str(path))
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1).decode("utf-8")
    except OSError as error:
        raise InputError(f"{name}: cannot read {what}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: cannot read {what}: it is not UTF-8 text") from error
    data, places = parse_yaml(text, name)
    if not isinstance(data, dict):
        raise InputError(f"{name}:1:1: found {describe(data)}, accepted: a mapping of keys")
    if len(overrides) > _MOST_OVERRIDES or sum(map(len, overrides)) > MOST_CHARACTERS:
        raise InputError(
            f"--set: found {len(overrides)} of {sum(map(len, overrides))} characters, accepted: at "
            f"most {_MOST_OVERRIDES} of {MOST_CHARACTERS}"
        )
    for override in overrides:
        _apply(data, places, override, what)
    return Document(name, data, places, what)


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


def _apply(data: dict[str, Any], places: dict[KeyPath, str], override: str, what: str) -> None:
    key, equals, text = override.partition("=")
    origin = f"--set {one_line(brief(override, _SHOWN))}"
    if not equals or not key:
        raise InputError(f"{origin}: accepted: KEY=VALUE, for example model.chunk_ms=160")
    value, _ = parse_yaml(text, origin)
    words = key.split(".")
    if len(words) > MOST_LEVELS:
        raise InputError(f"{origin}: found a key of {len(words)} levels, accepted: {MOST_LEVELS}")
    node: Any = data
    path: KeyPath = ()
    for number, word in enumerate(words, start=1):
        step = _step(node, word, f"{origin}: {dotted(path) or what}")
        path = (*path, step)
        if number < len(words):
            if isinstance(node, dict) and node.get(word) is None:
                node[word] = {}
                places[path] = origin
            node = node[step]
        elif value is not None:
            node[step] = value
        elif isinstance(node, list):
            node.pop(int(step))
        else:
            node.pop(word, None)
    for below in [known for known in places if known[: len(path)] == path]:
        del places[below]
    places[path] = origin


def _step(node: Any, word: str, where: str) -> str | int:
    """A word of an override's key as what leads on from a node: a key, or the number of an item.

    Raises:
        InputError: nothing does; `where` begins the message.
    """
    if isinstance(node, dict):
        return word
    if not isinstance(node, list):
        raise InputError(f"{where} is {describe(node)}, which has no key {word!r}")
    # A number with more digits than the length of the list is too large in any case.
    number = int(word) if word.isdecimal() and len(word) <= len(str(len(node))) else len(node)
    if number >= len(node):
        raise InputError(f"{where} is a list of {len(node)} items, not {word!r}")
    return number
