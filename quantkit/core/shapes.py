"""What a stranger's JSON has to look like, as plain data, checked once at its door.

A shape is a function of a value and of where it stands ("FILE: key.key"); it raises where the value
does not fit. More keys than a record names are let through: later versions may add some.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from quantkit.core.errors import InputError

Shape = Callable[[Any, str], None]

#: The largest count of anything: integers up to here survive every JSON reader.
MOST = 2**53
_SHOWN = 80
_SHA256 = re.compile("[0-9a-f]{64}")
_PLAIN = re.compile("[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}")


def integer(least: int = 0, most: int = MOST) -> Shape:
    """An integer between two bounds."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise unfit(value, where, f"an integer from {least} to {most}")

    return check


def number(least: float = 0.0, most: float = float(MOST)) -> Shape:
    """A finite number between two bounds."""

    def check(value: Any, where: str) -> None:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        if not fits or not least <= value <= most:  # also true for NaN
            raise unfit(value, where, f"a number from {least:g} to {most:g}")

    return check


def text(value: Any, where: str) -> None:
    """Any text."""
    if not isinstance(value, str):
        raise unfit(value, where, "a text")


def anything(value: Any, where: str) -> None:
    """Any value."""


def sha256(value: Any, where: str) -> None:
    """A SHA-256 as 64 hexadecimal digits."""
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise unfit(value, where, "64 hexadecimal digits")


def file_name(value: Any, where: str) -> None:
    """The name of a file in one folder: ASCII letters, digits, and `_.+-` after the first."""
    if not isinstance(value, str) or not _PLAIN.fullmatch(value):
        accepted = "names without a folder, of at most 200 letters, digits, '.', '_', '+', '-'"
        raise unfit(value, where, accepted)


def optional(shape: Shape) -> Shape:
    """What fits the shape, or null."""

    def check(value: Any, where: str) -> None:
        if value is not None:
            shape(value, where)

    return check


def array(item: Shape, most: int = MOST) -> Shape:
    """A list of at most so many items of one shape."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, list) or len(value) > most:
            raise unfit(value, where, f"a list of at most {most}")
        for index, one in enumerate(value):
            item(one, f"{where}[{index}]")

    return check


def mapping(key: Shape, item: Shape, least: int = 0, most: int = 10_000) -> Shape:
    """An object with keys and values of one shape each."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict) or not least <= len(value) <= most:
            raise unfit(value, where, f"an object of {least} to {most} keys")
        for name, one in value.items():
            key(name, where)
            item(one, _inside(where, name))

    return check


def record(required: Mapping[str, Shape], more: Mapping[str, Shape] | None = None) -> Shape:
    """An object with certain keys; those of `more` may be missing, others are not looked at."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise unfit(value, where, "an object")
        missing = [name for name in required if name not in value]
        if missing:
            raise InputError(f"{where}: missing {', '.join(missing)}")
        for name, shape in {**required, **(more or {})}.items():
            if name in value:
                shape(value[name], _inside(where, name))

    return check


def unfit(value: Any, where: str, accepted: str) -> InputError:
    """The error for a value that is no such thing; the value is shown in short."""
    if isinstance(value, dict | list):
        found = f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    else:
        found = repr(value)
    shown = found if len(found) <= _SHOWN else f"{found[:_SHOWN]}..."
    return InputError(f"{where}: found {shown}, accepted: {accepted}")


def _inside(where: str, name: str) -> str:
    """Where a key of an object stands: after the file a colon, after a key a dot."""
    short = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
    return f"{where}.{short}" if ": " in where else f"{where}: {short}"
