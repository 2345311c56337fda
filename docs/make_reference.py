"""Write docs/reference.md: every key of recipes and suites, from their JSON Schemas.

`python docs/make_reference.py`, which `make docs` does; a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from quantkit.recipe.accepted import words
from quantkit.recipe.load import recipe_schema
from quantkit.recipe.suite_file import suite_schema

PAGE = Path(__file__).with_name("reference.md")
HEAD = """# Keys of recipes and suites

Written by `docs/make_reference.py` from what `quantkit schema` prints. An unknown key is an error.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, schema in (("Recipes", recipe_schema()), ("Suites", suite_schema())):
        parts.append(f"## {title}\n")
        parts += _section(schema)
        for name, part in sorted(schema["$defs"].items()):
            if "properties" in part:
                parts.append(f"### {_plain(name)}\n")
                parts += _section(part)
    return "\n".join(parts)


def _section(schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"{schema.get('description', '')}\n"
    yield "| key | accepted | default | about |\n|---|---|---|---|"
    for key, value in schema["properties"].items():
        default = "required" if key in schema.get("required", []) else _shown(value.get("default"))
        about = " ".join(str(value.get("description", "")).split())
        yield f"| `{key}` | {_accepted(value)} | {default} | {about} |"
    yield ""


def _accepted(value: Mapping[str, Any]) -> str:
    """What a key takes: its own limits, or the section that describes it."""
    members = [part for part in value.get("anyOf", [value]) if part.get("type") != "null"]
    told = []
    for part in [*members, *(part for member in members for part in member.get("oneOf", []))]:
        if "$ref" in part:
            told.append(_plain(part["$ref"].rpartition("/")[2]))
        elif part.get("type") == "array":
            told.append(f"a list of {_accepted(part.get('items', {})) or 'values'}")
        elif isinstance(part.get("additionalProperties"), dict):
            told.append(f"names, each with {_accepted(part['additionalProperties'])}")
        elif "oneOf" not in part and (said := words(part)):
            told.append(re.sub(r" \(.*\)$", "", said) if "description" in part else said)
    return " or ".join(dict.fromkeys(told)).replace("|", "\\|")


def _shown(default: Any) -> str:
    if default is None:
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _plain(name: str) -> str:
    """`Int8DynamicSettings` as `int8-dynamic`, the title of its section."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name.removesuffix("Settings")).lower()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
