"""Text of strangers, made fit to be printed: nothing acts on a terminal, nothing is endless."""

from __future__ import annotations

import re

#: Bytes of a message, in UTF-8.
MESSAGE_BYTES = 2000
# Control characters, lone surrogates, separators of lines that are no newline, marks of direction.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_BREAKS = re.compile(r"[\t\n]")


def printable(text: str) -> str:
    r"""The text with an escape such as \x1b for what a terminal acts on or cannot show.

    Newlines and tabs stay, as do letters of all scripts. A text made printable stays as it is.
    """
    return _UNPRINTABLE.sub(_escape, text)


def printable_json(text: str) -> str:
    """A JSON text with the same characters escaped as JSON does."""
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def one_line(text: str) -> str:
    """The same with newlines and tabs escaped too: for names and texts inside a line."""
    return _BREAKS.sub(_escape, printable(text))


def brief(text: str, limit: int = MESSAGE_BYTES) -> str:
    """The text, or its beginning and its end if it takes more than `limit` bytes of UTF-8.

    Whole lines are left out where there are several, and how much is missing is said between.
    """
    raw = text.encode(errors="backslashreplace")
    if len(raw) <= limit:
        return text
    room = limit - 60
    head = raw[: room * 3 // 4].decode(errors="ignore")
    tail = raw[-(room // 4) :].decode(errors="ignore")
    if "\n" in head and "\n" in tail:
        head, tail = head.rpartition("\n")[0], tail.partition("\n")[2]
        missing = text.count("\n") - head.count("\n") - tail.count("\n") - 1
        return f"{head}\n({missing} more lines)\n{tail}"
    return f"{head} ({len(text) - len(head) - len(tail)} more characters) {tail}"


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", errors="backslashreplace").decode("ascii")
