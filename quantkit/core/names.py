"""Names: of a tensor, what it is and which layer it belongs to; of a file, whether it can be."""

from __future__ import annotations

import os
import re
from pathlib import Path

_LAYER = re.compile(r"\blayers\.(\d+)\.")


def kind_and_layer(name: str) -> tuple[str, int | None]:
    """`encoder/layers.3.conv.weight` as (`encoder/layers.*.conv.weight`, 3)."""
    found = _LAYER.search(name)
    return (_LAYER.sub("layers.*.", name, count=1), int(found[1])) if found else (name, None)


def may_name_a_file(path: str | Path) -> bool:
    """Whether a file may have this path, be it there or not."""
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return b"\0" not in name and len(name) < 4096 and all(len(p) < 256 for p in name.split(b"/"))
