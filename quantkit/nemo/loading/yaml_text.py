"""YAML of strangers as plain data: bounded, without tags, read as NeMo's library reads it."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml

from quantkit.core.errors import InputError
from quantkit.core.text import one_line
from quantkit.nemo.loading.rules import shown

#: The most that a configuration takes: three lists of a vocabulary of 65,000 pieces.
MOST_BYTES, MOST_NODES = 8 * 2**20, 200_000
MOST_LEVELS = 32
_MOST_CHARACTERS = 10_000
_MOST_KEY_BITS = 53


class _Scalars(yaml.resolver.Resolver, yaml.constructor.SafeConstructor):
    """What plain scalars mean to OmegaConf: YAML 1.1, but 1e-5 is a number, a date is a text."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag.rpartition(":")[2] in ("bool", "float", "int", "null")
        ]
        for first, resolvers in yaml.resolver.Resolver.yaml_implicit_resolvers.items()
    }

    def __init__(self) -> None:
        yaml.resolver.Resolver.__init__(self)
        yaml.constructor.SafeConstructor.__init__(self)

    def value(self, text: str) -> Any:
        tag = self.resolve(yaml.ScalarNode, text, (True, False))
        return self.yaml_constructors[tag](self, yaml.ScalarNode(tag, text))


_Scalars.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(?:_[0-9]+)*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def parse_yaml(raw: bytes, file: str) -> Any:
    """The value of a YAML text, which `file` names in messages.

    Aliases are followed, so that parts of the value may be one object.

    Raises:
        InputError: it is not UTF-8 or not YAML, takes more than 8 MB or 200,000 values,
            nests more than 32 levels deep, or holds a tag, a merge key, a key twice or a key that
            is a list or a mapping.
    """
    if len(raw) > MOST_BYTES:
        raise InputError(f"{file}: takes {len(raw)} bytes, accepted: up to {MOST_BYTES}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: is not UTF-8 text (byte {error.start})") from error
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Builder(file).built(yaml.parse(text, Loader=loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        problem = one_line(str(getattr(error, "problem", None) or error))[:200]
        raise InputError(f"{where}: is not YAML ({problem})") from error


class _Builder:
    """Makes values of a parser's events, without recursion."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._scalars = _Scalars()
        self._anchors: dict[str, Any] = {}

    def built(self, events: Any) -> Any:
        """The one document's value."""
        root: list[Any] = []
        open_: list[Any] = [root]
        keys: list[Any] = [None]
        nodes = 0
        for event in events:
            if isinstance(event, yaml.CollectionEndEvent):
                open_.pop()
                keys.pop()
                continue
            if isinstance(event, yaml.DocumentStartEvent) and root:
                self._refuse(event, "a second document")
            if not isinstance(event, yaml.NodeEvent):
                continue
            nodes += 1
            if nodes > MOST_NODES:
                self._refuse(event, f"more than {MOST_NODES} values")
            value = self._value(event)
            holder = open_[-1]
            if isinstance(holder, list):
                holder.append(value)
            elif keys[-1] is None:
                keys[-1] = (self._key(event, value, holder),)
            else:
                holder[keys[-1][0]] = value
                keys[-1] = None
            if isinstance(event, yaml.CollectionStartEvent):
                open_.append(value)
                keys.append(None)
                if len(open_) > MOST_LEVELS:
                    self._refuse(event, f"more than {MOST_LEVELS} levels")
        return root[0] if root else None

    def _value(self, event: Any) -> Any:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                self._refuse(event, f"the alias *{event.anchor} of nothing")
            return self._anchors[event.anchor]
        if event.tag is not None:
            self._refuse(event, f"the tag {event.tag}")
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        else:
            value = {} if isinstance(event, yaml.MappingStartEvent) else []
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        return value

    def _scalar(self, event: Any) -> Any:
        if len(event.value) > _MOST_CHARACTERS:
            self._refuse(event, f"a value of {len(event.value)} characters")
        if not event.implicit[0]:
            return event.value
        try:
            return self._scalars.value(event.value)
        # More digits than Python reads, or 1:00:00 and so on: what stands there is no number.
        except (ValueError, OverflowError):
            return event.value

    def _key(self, event: Any, key: Any, holder: dict[Any, Any]) -> Any:
        if isinstance(key, dict | list):
            self._refuse(event, "a key that is a list or a mapping")
        if isinstance(key, int) and key.bit_length() > _MOST_KEY_BITS:
            # Such numbers can be chosen so that a mapping of them takes for ever.
            self._refuse(event, "a key of more than 15 digits")
        if key == "<<":
            self._refuse(event, "the merge key <<")
        if key in holder:
            self._refuse(event, f"the key {shown(key)} twice")
        return key

    def _refuse(self, event: Any, found: str) -> Any:
        mark = event.start_mark
        raise InputError(
            f"{self._file}:{mark.line + 1}:{mark.column + 1}: found {one_line(found)[:200]}; "
            "accepted: YAML as NeMo writes it"
        )
