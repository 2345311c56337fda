"""The name of a tensor as what it is and which layer it belongs to."""

from __future__ import annotations

import re

_LAYER = re.compile(r"\blayers\.(\d+)\.")


def kind_and_layer(name: str) -> tuple[str, int | None]:
    """`encoder/layers.3.conv.weight` as (`encoder/layers.*.conv.weight`, 3)."""
    found = _LAYER.search(name)
    return (_LAYER.sub("layers.*.", name, count=1), int(found[1])) if found else (name, None)
