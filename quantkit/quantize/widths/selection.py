"""Which tensor is quantized how: globs of the recipe on graph/tensor names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from quantkit.core.errors import SettingError
from quantkit.quantize.settings import MatrixScheme

_SHOWN = 5


def select(names: Sequence[str], settings: MatrixScheme) -> Mapping[str, MatrixScheme | None]:
    """Settings of each tensor, None for one that stays float32.

    `exclude` wins over `rules`; of the rules the first that matches counts.

    Args:
        names: every quantizable tensor as "graph/tensor".
        settings: what the recipe says.

    Raises:
        SettingError: a glob matches no name at all. One that matches only names which another glob
            took first is fine.
    """
    quantized = set(without(names, settings.exclude, "quantize"))
    for index, rule in enumerate(settings.rules):
        require_match(rule.match, names, f"quantize.rules[{index}].match")
    return {name: _choose(name, settings) if name in quantized else None for name in names}


def without(names: Sequence[str], exclude: Sequence[str], key: str) -> list[str]:
    """The names that no glob of `KEY.exclude` matches.

    Raises:
        SettingError: one of them matches no name.
    """
    for index, glob in enumerate(exclude):
        require_match(glob, names, f"{key}.exclude[{index}]")
    return [name for name in names if not any(fnmatchcase(name, glob) for glob in exclude)]


def _choose(name: str, settings: MatrixScheme) -> MatrixScheme:
    for rule in settings.rules:
        if fnmatchcase(name, rule.match):
            return settings.following(rule)
    return settings


def require_match(glob: str, names: Sequence[str], key: str) -> None:
    """Refuse a glob that matches nothing, under the key where it stands.

    Raises:
        SettingError: with the nearest names.
    """
    if any(fnmatchcase(name, glob) for name in names):
        return
    plain = glob.replace("*", "").replace("?", "")
    nearest = difflib.get_close_matches(plain, names, n=_SHOWN, cutoff=0.0)
    raise SettingError(
        key,
        f"{glob!r} matches none of the {len(names)} quantizable tensors. "
        f"Nearest: {', '.join(nearest) or 'there is none'}. "
        "A glob is compared with the whole of graph/tensor, case included; * matches any text.",
    )
