"""What a stage's result depends on, its digest, and what changed between two of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from quantkit.core.files import sha256_json

#: What stands for a value that one of two keys does not have.
ABSENT = "absent"


@dataclass(frozen=True)
class StageKey:
    """Everything that decides the bytes of a stage's output.

    `inputs` maps the names of upstream stages and of external files to their digests.
    """

    stage: str
    version: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    libraries: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of the key: the name of the result in the store."""
        return sha256_json(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """The key as plain data, in the form in which the store keeps it."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def differences(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    """What changed from `old` to `new` (both `StageKey.as_json`), one phrase per field."""
    before, after = dict(_flatten(old)), dict(_flatten(new))
    return [
        _phrase(name, before.get(name, ABSENT), after.get(name, ABSENT))
        for name in sorted(before.keys() | after.keys())
        if before.get(name, ABSENT) != after.get(name, ABSENT)
    ]


def _flatten(value: Any, prefix: str = "") -> Iterable[tuple[str, str]]:
    if not isinstance(value, Mapping):
        yield prefix, value if isinstance(value, str) else json.dumps(value)
        return
    for name, item in value.items():
        yield from _flatten(item, f"{prefix}.{name}" if prefix else name)


def _phrase(name: str, before: str, after: str) -> str:
    group, _, rest = name.partition(".")
    if group == "libraries":
        return f"library {rest} {before} -> {after}"
    if group == "inputs":
        return f"input {rest} {before[:8]} -> {after[:8]}"
    return f"{name} {before} -> {after}"
