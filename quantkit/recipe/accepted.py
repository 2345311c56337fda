"""What a JSON Schema accepts at a key path, in words for error messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantkit.recipe.yaml import KeyPath

Schema = Mapping[str, Any]

_NOUNS = {
    "integer": "an integer",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "array": "a list",
}


def schema_at(root: Schema, data: Any, path: KeyPath) -> Schema:
    """The schema of the value at `path`; `data` decides between the members of tagged unions.

    Empty where the schema knows nothing about the path.
    """
    node, value = _walk(root, data, path)
    return _resolve(root, node, value)


def tag_at(root: Schema, data: Any, path: KeyPath) -> str | None:
    """What tells the member of a tagged union at `path`; None where there is no such union."""
    node, value = _walk(root, data, path)
    union = _resolve(root, node, value, choose=False)
    if "discriminator" not in union:
        return None
    tag = _child(value, union["discriminator"]["propertyName"])
    return tag if isinstance(tag, str) else None


def keys_of(schema: Schema) -> list[str]:
    """The keys of a mapping's schema."""
    return list(schema.get("properties", {}))


def words(schema: Schema) -> str:
    """The accepted values, such as `4 or 8` or `a number, at least 0, below 1`."""
    if "discriminator" in schema:
        tag = schema["discriminator"]["propertyName"]
        return f"a mapping whose {tag!r} is {_either(list(schema['discriminator']['mapping']))}"
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return _either(schema["enum"])
    if isinstance(schema.get("additionalProperties"), Mapping):
        return "a mapping of names"
    if schema.get("type") == "object" or "properties" in schema:
        return f"a mapping with the keys {', '.join(keys_of(schema))}"
    noun = _NOUNS.get(schema.get("type", ""), "")
    told = f" ({schema['description']})" if noun and "description" in schema else ""
    return ", ".join([noun, *_limits(schema)]) + told if noun else ""


def _limits(schema: Schema) -> list[str]:
    told = {
        "minimum": "at least {}",
        "exclusiveMinimum": "above {}",
        "maximum": "at most {}",
        "exclusiveMaximum": "below {}",
        "multipleOf": "a multiple of {}",
        "pattern": "matching {}",
    }
    return [words.format(schema[key]) for key, words in told.items() if key in schema]


def _walk(root: Schema, data: Any, path: KeyPath) -> tuple[Schema, Any]:
    """The schema as it is written, and the value, at `path`."""
    node = root
    for part in path:
        holder = _resolve(root, node, data)
        node = holder.get("items", {}) if isinstance(part, int) else _value_of(holder, part)
        data = _child(data, part)
    return node, data


def _value_of(schema: Schema, key: str) -> Schema:
    """The schema of a mapping's value: that of the key, or that of all keys."""
    others = schema.get("additionalProperties")
    rest: Schema = others if isinstance(others, Mapping) else {}
    value: Schema = schema.get("properties", {}).get(key, rest)
    return value


def _resolve(root: Schema, node: Schema, data: Any, *, choose: bool = True) -> Schema:
    """Follow references, drop the null of optional values, choose the member of a tagged union."""
    while True:
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            node = {**root["$defs"][name], **{k: v for k, v in node.items() if k != "$ref"}}
        elif "anyOf" in node:
            node = _without_null(node)
        elif "discriminator" in node and choose:
            tag = _child(data, node["discriminator"]["propertyName"])
            member = node["discriminator"]["mapping"].get(tag) if isinstance(tag, str) else None
            if member is None:
                return node
            node = {"$ref": member}
        else:
            return node


def _without_null(node: Schema) -> Schema:
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    members = [member for member in node["anyOf"] if member.get("type") != "null"]
    return {**members[0], **rest} if len(members) == 1 else rest


def _child(data: Any, key: str | int) -> Any:
    if isinstance(data, Mapping):
        return data.get(key)
    if isinstance(data, list) and isinstance(key, int) and key < len(data):
        return data[key]
    return None


def _either(values: list[Any]) -> str:
    texts = [repr(value) if isinstance(value, str) else str(value) for value in values]
    return " or ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
