"""Texts of strangers inside Markdown: shown as they are, linking to nothing and calling nobody."""

from __future__ import annotations

import re

from quantkit.core.text import one_line, printable

_SPECIAL = re.compile(r"([\\`*_\[\]|~#>$])")
# What readers such as GitHub make mentions, issues, links and commits of, wherever they see it.
_LINKING = re.compile(r"@|#(?=\d)|\bGH-(?=\d)|:(?=//)|\bwww(?=\.)", re.IGNORECASE)
_COMMIT = re.compile(r"(?<![0-9a-z])[0-9a-f]{7,40}(?![0-9a-z])", re.IGNORECASE)
#: A space without width: nothing to see, and what it stands in is none of these any more.
_BREAK = "&#x200B;"


def escape(text: str) -> str:
    """Text that Markdown shows as it is on one line, also in a cell of a table."""
    # What is printable holds no NUL.
    line = _LINKING.sub(r"\g<0>" + "\0", one_line(" ".join(text.split())))
    # Six digits are too few for a commit.
    line = _COMMIT.sub(lambda match: re.sub(r"(.{6})(?=.)", r"\1" + "\0", match[0]), line)
    line = line.replace("&", "&amp;").replace("<", "&lt;")
    return _SPECIAL.sub(r"\\\1", line).replace("\0", _BREAK)


def code(text: str) -> str:
    """Text in a code span, in which nothing links, also in a cell of a table."""
    ticks = "`" * (_longest_run(text) + 1)
    inside = one_line(" ".join(text.split())).replace("|", "\\|")
    space = " " if inside.startswith("`") or inside.endswith("`") else ""
    return f"{ticks}{space}{inside}{space}{ticks}" if inside else ""


def fenced(text: str, language: str = "") -> str:
    """Text in a code block that nothing in it ends."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{printable(text)}\n{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
