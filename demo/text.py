"""The alphabet of the demo model: lower-case letters, the apostrophe and the space."""

from __future__ import annotations

import re

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*'?")
# Stage directions and symbols, whose spoken form is not what is written.
_MARKUP = re.compile(r"[<>()\[\]{}@#*_^/\\|~=+%$&]")
_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def spell_digits(text: str) -> str | None:
    """Write lone digits as words; None when a longer number leaves its reading open."""
    if re.search(r"\d[\d.,]*\d", text):
        return None
    return re.sub(r"\d", lambda digit: f" {_DIGITS[int(digit.group())]} ", text)


def normalize(text: str) -> str | None:
    """The text as the model writes it, or None when it cannot be written so."""
    text = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace("`", "'")
    if _MARKUP.search(text) or re.search(r"[^\x00-\x7f]|\d", text):
        return None
    words = (word.strip("'") for word in _WORD.findall(text))
    return " ".join(word for word in words if word) or None
