"""YAML that anybody may have written: bounded, plain, and each key with its place.

What a recipe has no use for is refused by its line: tags, several documents, keys that are no
texts. What aliases and merges stand for counts as if it were written out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
)
from ruamel.yaml.nodes import ScalarNode

from quantkit.core.errors import InputError

#: The way to a value: keys of mappings and indices of lists.
KeyPath = tuple[str | int, ...]

#: Characters of a text, and of what it holds once aliases are written out.
MOST_CHARACTERS = 64 * 1024
#: Levels of lists and mappings within each other.
MOST_LEVELS = 32
#: Keys and values of a text, ends of lists and mappings included.
_MOST_EVENTS = 10_000
_MOST_DIGITS = 400
# YAML allows no others, not even in comments.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_VERSION = (1, 2)
_MERGE = "<<"


def parse_yaml(text: str, name: str) -> tuple[Any, dict[KeyPath, str]]:
    """The plain data of a YAML text, and for each key path where it stands, `name:line:column`.

    A key that was merged in (`<<: *anchor`) has no place of its own: its mapping's is told.

    Raises:
        InputError: the text is no YAML, too large, or says what no recipe may.
    """
    if len(text) > MOST_CHARACTERS:
        raise InputError(
            f"{name}: found {len(text)} characters, accepted: at most {MOST_CHARACTERS}"
        )
    text = text.removeprefix("\ufeff")
    wrong = _UNPRINTABLE.search(text)
    if wrong:
        line = text.count("\n", 0, wrong.start()) + 1
        column = wrong.start() - text.rfind("\n", 0, wrong.start())
        raise InputError(
            f"{name}:{line}:{column}: not valid YAML: found the character {wrong[0]!r}, accepted: "
            'printable text; in double quotes such a character is written as an escape, "\\x1b"'
        )
    reader = _Reader(text, name)
    return reader.document(), reader.places


class _Reader:
    """The events of one text, read by index, so that an alias reads what it stands for again."""

    def __init__(self, text: str, name: str) -> None:
        self.places: dict[KeyPath, str] = {}
        self._name = name
        self._yaml = YAML(typ="safe", pure=True)
        # Of ruamel, whose kinds of events share no type that has what is read of them.
        self._events: list[Any] = list(self._bounded(self._parsed(text)))
        self._anchors: dict[str, int] = {}
        self._open: set[str] = set()
        self._left = MOST_CHARACTERS

    def document(self) -> Any:
        starts = [event for event in self._events if isinstance(event, DocumentStartEvent)]
        if not starts:
            return None
        if len(starts) > 1:
            raise self._error(starts[1], "found a second document, accepted: one")
        if starts[0].tags or starts[0].version not in {None, _VERSION}:
            raise self._error(starts[0], "found a directive, accepted: none but %YAML 1.2")
        value, _ = self._value(self._events.index(starts[0]) + 1, (), placed=True)
        return value

    def _bounded(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events; too many or too deep ones end it early, for they take the parser long."""
        level = 0
        for count, event in enumerate(events):
            level += isinstance(event, CollectionStartEvent)
            level -= isinstance(event, CollectionEndEvent)
            if level > MOST_LEVELS:
                raise self._error(event, f"nests deeper than {MOST_LEVELS} levels")
            if count > _MOST_EVENTS:
                raise self._error(event, f"more than {_MOST_EVENTS} keys and values up to here")
            yield event

    def _parsed(self, text: str) -> Iterator[Event]:
        event = None
        try:
            for event in self._yaml.parse(StringIO(text)):
                yield event
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise self._wrong(mark, str(error.problem or error.context)) from error
        # Numbers of escapes and directives reach Python as they are.
        except (YAMLError, ValueError, OverflowError) as error:
            raise self._wrong(event.end_mark if event else None, str(error)) from error

    def _value(self, index: int, path: KeyPath, *, placed: bool) -> tuple[Any, int]:
        """The value whose events begin at an index, and the index after them."""
        event = self._events[index]
        if isinstance(event, AliasEvent):
            return self._aliased(event, path, placed=placed), index + 1
        self._check(index, path)
        if isinstance(event, ScalarEvent):
            return self._scalar(event), index + 1
        collect = self._mapping if isinstance(event, MappingStartEvent) else self._sequence
        self._open.add(event.anchor)
        value, index = collect(index + 1, path, placed=placed)
        self._open.discard(event.anchor)
        return value, index

    def _aliased(self, event: AliasEvent, path: KeyPath, *, placed: bool) -> Any:
        if event.anchor not in self._anchors:
            raise self._error(event, f"found undefined alias {event.anchor!r}")
        if event.anchor in self._open:
            raise self._error(event, f"found alias {event.anchor!r} inside of what it stands for")
        return self._value(self._anchors[event.anchor], path, placed=placed)[0]

    def _check(self, index: int, path: KeyPath) -> None:
        """Note an anchor, and refuse what is no part of a recipe or too much."""
        event = self._events[index]
        if event.anchor is not None and self._anchors.setdefault(event.anchor, index) != index:
            raise self._error(event, f"found the anchor {event.anchor!r} twice")
        if event.tag is not None:
            raise self._error(event, f"found the tag {event.tag!s}, accepted: none")
        if len(path) > MOST_LEVELS:
            raise self._error(event, f"nests deeper than {MOST_LEVELS} levels")
        self._left -= 1 + (len(event.value) if isinstance(event, ScalarEvent) else 0)
        if self._left < 0:
            raise self._error(
                event,
                f"stands for more than {MOST_CHARACTERS} characters with its aliases written out",
            )

    def _sequence(self, index: int, path: KeyPath, *, placed: bool) -> tuple[list[Any], int]:
        items: list[Any] = []
        while not isinstance(self._events[index], CollectionEndEvent):
            here = (*path, len(items))
            self._place(index, here, placed=placed)
            item, index = self._value(index, here, placed=placed)
            items.append(item)
        return items, index + 1

    def _mapping(self, index: int, path: KeyPath, *, placed: bool) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        while not isinstance(self._events[index], CollectionEndEvent):
            event = self._events[index]
            key = self._key(index)
            merges = key == _MERGE and isinstance(event, ScalarEvent) and event.implicit[0]
            here = (*path, key)
            if not merges:
                if key in found:
                    raise self._error(event, f"found duplicate key {key!r}")
                self._place(index, here, placed=placed)
            value, index = self._value(index + 1, here, placed=placed and not merges)
            if merges:
                merged += self._mappings(event, value)
            else:
                found[key] = value
        for mapping in merged:
            found = mapping | found
        return found, index + 1

    def _key(self, index: int) -> str:
        """A text, or the text that an alias stands for."""
        event = self._events[index]
        if isinstance(event, AliasEvent):
            key = self._aliased(event, (), placed=False)
        else:
            key = None
            if isinstance(event, ScalarEvent):
                self._check(index, ())
                key = self._scalar(event)
        if not isinstance(key, str):
            shown = getattr(event, "value", None) or "something else"
            raise self._error(
                event, f"found {shown} as a key, accepted: a text, such as '1' in quotes"
            )
        return key

    def _mappings(self, event: Event, value: Any) -> list[dict[str, Any]]:
        """What a merge key names: a mapping, or a list of them of which the first counts most."""
        several = value if isinstance(value, list) else [value]
        if not all(isinstance(item, dict) for item in several):
            raise self._error(event, "found a merge of something else, accepted: of mappings")
        return several

    def _place(self, index: int, path: KeyPath, *, placed: bool) -> None:
        if placed:
            mark = self._events[index].start_mark
            self.places[path] = f"{self._name}:{mark.line + 1}:{mark.column + 1}"

    def _scalar(self, event: ScalarEvent) -> Any:
        """A text, number, truth value or None; dates stay the texts that they are."""
        text = str(event.value)
        surrogate = _SURROGATE.search(text)
        if surrogate:
            raise self._error(event, f"found {surrogate[0]!r}, half of a character")
        tag = str(self._yaml.resolver.resolve(ScalarNode, text, event.implicit))
        kind = tag.rpartition(":")[2]
        if kind in {"int", "float"} and len(text) > _MOST_DIGITS:
            raise self._error(
                event, f"found a number of {len(text)} digits, accepted: at most {_MOST_DIGITS}"
            )
        if kind not in {"int", "float", "bool", "null"}:
            return text
        try:
            return self._yaml.constructor.construct_object(ScalarNode(tag, text))
        except (ValueError, LookupError) as error:
            raise self._error(event, f"found {text!r}, which is no {kind}") from error

    def _error(self, event: Event, what: str) -> InputError:
        return self._wrong(event.start_mark, what)

    def _wrong(self, mark: Any, what: str) -> InputError:
        where = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        return InputError(f"{self._name}:{where}: not valid YAML: {what}")
