"""What a setting of a stranger's configuration may be: a test and the words for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from quantkit.core.text import one_line


@dataclass(frozen=True)
class Rule:
    """A test of a value, and what passes it, in words."""

    accepted: str
    fits: Callable[[Any], bool]


def whole(low: int, high: int) -> Rule:
    """Whole numbers; `true` is none."""
    words = f"a whole number from {low} to {high}" if low < high else str(low)
    return Rule(words, lambda v: type(v) is int and low <= v <= high)


def real(low: float, high: float) -> Rule:
    """Numbers, finite."""
    return Rule(
        f"a number from {low:g} to {high:g}",
        lambda v: type(v) in (int, float) and low <= v <= high,
    )


def one_of(*values: str) -> Rule:
    """Words."""
    return Rule(" or ".join(repr(v) for v in values), lambda v: type(v) is str and v in values)


def either(*rules: Rule) -> Rule:
    """What one of several rules takes."""
    words = " or ".join(rule.accepted for rule in rules)
    return Rule(words, lambda v: any(rule.fits(v) for rule in rules))


def optional(rule: Rule) -> Rule:
    """The same, or nothing."""
    return either(rule, NOTHING)


def several(rule: Rule, most: int) -> Rule:
    """A list."""
    return Rule(
        f"a list of up to {most}, each {rule.accepted}",
        lambda v: type(v) is list and len(v) <= most and all(rule.fits(item) for item in v),
    )


def pair(rule: Rule) -> Rule:
    """A list of two."""
    return Rule(
        f"two, each {rule.accepted}",
        lambda v: type(v) is list and len(v) == 2 and all(rule.fits(item) for item in v),
    )


def list_of(length: int) -> Rule:
    """A list of a known length, whatever it holds, or an empty one."""
    return Rule(f"a list of {length}", lambda v: type(v) is list and len(v) in (0, length))


FLAG = Rule("true or false", lambda v: type(v) is bool)
NOTHING = Rule("null", lambda v: v is None)
#: No reference of OmegaConf, nor its mark of a missing value.
TEXT = Rule("a text", lambda v: type(v) is str and "${" not in v and v != "???")
SECTION = Rule("a section of settings", lambda v: isinstance(v, Mapping))


def shown(value: Any) -> str:
    """A value in a message, in few words."""
    if type(value) is list and len(value) <= 8:
        return f"[{', '.join(_brief(item)[:40] for item in value)}]"
    return _brief(value)


def _brief(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a section of {len(value)} settings"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 128:
        return "a number of more than 38 digits"
    return "nothing" if value is None else one_line(repr(value)[:200])
