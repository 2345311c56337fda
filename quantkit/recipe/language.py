"""Language codes, and the languages that words can be scored in."""

from __future__ import annotations

import re

#: What a language that has a text normaliser is called, in lower case.
_NAMES = {"en": {"en", "eng", "english"}}


def is_language(code: str, language: str) -> bool:
    """Whether a code, such as `en-US`, `eng` or `EN`, is of a suite's language.

    Only the primary subtag counts: regions and scripts share the normaliser.
    """
    primary = re.split(r"[-_]", code.strip().lower(), maxsplit=1)[0]
    return primary in _NAMES[language]
