"""Recipe files into typed recipes; every problem of a file is told at once, with its line."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from quantkit.core.errors import InputError, SettingError
from quantkit.quantize.widths.settings import MixedSettings
from quantkit.recipe.accepted import keys_of, schema_at, tag_at, words
from quantkit.recipe.document import Document, describe, dotted, read_document, undotted
from quantkit.recipe.library import find_shipped, shipped_recipes
from quantkit.recipe.schema import Recipe
from quantkit.recipe.yaml import KeyPath

T = TypeVar("T")

#: Problems that a message lists; the others are counted.
_LISTED = 20


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe, by path or shipped name, after applying `KEY=VALUE` overrides.

    Raises:
        InputError: one line for each problem: where, which key, what was found, what is accepted.
    """
    document = read_document(find_shipped(path, shipped_recipes()), overrides)
    recipe = validated(TypeAdapter(Recipe), document)
    refuse(document, _combinations(recipe))
    return recipe


@contextmanager
def located(path: Path, overrides: Sequence[str] = ()) -> Iterator[None]:
    """Give the errors of later stages about a recipe's values their place in its file.

    Raises:
        InputError: instead of a SettingError, with `file:line:column` or the `--set` before it.
    """
    try:
        yield
    except SettingError as error:
        file = find_shipped(path, shipped_recipes())
        place = read_document(file, overrides).place(undotted(error.key))
        raise InputError(f"{place}: {error}") from error


def recipe_schema() -> dict[str, Any]:
    """The JSON Schema of recipes, for editors."""
    title = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return title | TypeAdapter(Recipe).json_schema(by_alias=True)


def validated(adapter: TypeAdapter[T], document: Document) -> T:
    """The document's data as the adapter's type.

    Raises:
        InputError: one line for each problem.
    """
    try:
        # By way of JSON: there lists are tuples too, while texts still are no numbers.
        return adapter.validate_json(json.dumps(document.data, default=str), strict=True)
    except ValidationError as error:
        schema = adapter.json_schema(by_alias=True)
        problems = error.errors(include_url=False)
        _fail((_line(document, schema, problem) for problem in problems), len(problems))
        raise


def refuse(document: Document, problems: Iterable[tuple[KeyPath, str]]) -> None:
    """Tell what the schema cannot: key paths of a document, and what is wrong with each.

    Raises:
        InputError: one line for each problem, if there is one.
    """
    found = list(problems)
    lines = (f"{document.place(at)}: {dotted(at)}: {what}" for at, what in found)
    _fail(lines, len(found))


def _fail(problems: Iterable[str], count: int) -> None:
    """Raise an error of `count` problems, if there are any; of many only the first are told."""
    lines = list(dict.fromkeys(islice(problems, _LISTED)))
    if count > _LISTED:
        lines.append(f"and {count - _LISTED} more problems")
    if lines:
        raise InputError("\n".join(lines))


def _line(document: Document, schema: Mapping[str, Any], problem: ErrorDetails) -> str:
    path, value = _locate(document.data, schema, problem)
    where = f"{document.place(path)}: {dotted(path) or document.what}"
    kind = problem["type"]
    if kind == "extra_forbidden":
        keys = keys_of(schema_at(schema, document.data, path[:-1]))
        near = difflib.get_close_matches(str(path[-1]), keys, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return f"{where}: unknown key; accepted: {', '.join(keys)}.{hint}"
    if kind in {"value_error", "assertion_error"}:
        return f"{where}: {problem['ctx']['error']}"
    if kind in {"too_long", "string_too_long"}:
        limit = problem["ctx"]["max_length"]
        return f"{where}: found a length of {len(value)}, accepted: at most {limit}"
    if kind == "union_tag_invalid":
        union = schema_at(schema, document.data, path[:-1])
        accepted = words({"enum": list(union["discriminator"]["mapping"])})
    else:
        accepted = words(schema_at(schema, document.data, path)) or problem["msg"]
    if kind == "missing":
        return f"{where}: missing; accepted: {accepted}"
    return f"{where}: found {describe(value)}, accepted: {accepted}"


def _locate(root: Any, schema: Mapping[str, Any], problem: ErrorDetails) -> tuple[KeyPath, Any]:
    """The key path of a problem and the value there, without the tags of unions in between."""
    rest = list(problem["loc"])
    missing = problem["type"] == "missing"
    path: KeyPath = ()
    data, tagged = root, False
    while rest:
        part = rest.pop(0)
        # Once a union, and not where the problem is ours and its key happens to be named like it.
        if (
            not tagged
            and part == tag_at(schema, root, path)
            and _leads(data, rest, missing=missing)
        ):
            tagged = True
        elif _leads(data, [part, *rest], missing=missing):
            path, tagged = (*path, part), False
            data = data.get(part) if isinstance(data, dict) else data[int(part)]
    if problem["type"] == "union_tag_invalid":
        tag = problem["ctx"]["discriminator"].strip("'")
        return (*path, tag), data[tag]
    return path, data


def _leads(data: Any, parts: Sequence[str | int], *, missing: bool) -> bool:
    """Whether a way ends at a value or goes on from it, if only to what is missing."""
    if not parts or (missing and len(parts) == 1 and isinstance(data, dict)):
        return True
    return parts[0] in (range(len(data)) if isinstance(data, list) else _keys(data))


def _keys(data: Any) -> Iterable[Any]:
    return data if isinstance(data, dict) else ()


def _combinations(recipe: Recipe) -> Iterable[tuple[KeyPath, str]]:
    """Keys that are right alone and wrong together."""
    if recipe.needs_calibration() and recipe.calibrate is None:
        path, found = _asks_for_speech(recipe)
        yield (
            path,
            f"found {found} without the speech it needs; add calibrate: {{manifest: FILE}}, or use "
            "what measures no activations, such as scheme: kquant with importance: weight",
        )
    if recipe.needs_sensitivity() and recipe.calibrate is None:
        yield (
            ("quantize", "widths", "by"),
            "found 'budget' without the speech that damage is measured on; add calibrate: "
            "{manifest: FILE}, or use 'published' or 'rules'",
        )
    if not recipe.verify.gates.model_dump(exclude_none=True):
        keys = ", ".join(type(recipe.verify.gates).model_fields)
        yield ("verify", "gates"), f"found no gate, accepted: at least one of {keys}"


def _asks_for_speech(recipe: Recipe) -> tuple[KeyPath, str]:
    """The key that makes the recipe's quantizer measure activations, and its value."""
    mixed = isinstance(recipe.quantize, MixedSettings)
    algorithm = (
        recipe.quantize.base if isinstance(recipe.quantize, MixedSettings) else recipe.quantize
    )
    asked = {"importance": "activation", "equalize": True}
    keys = [key for key, value in asked.items() if getattr(algorithm, key, None) == value]
    key = next(iter(keys), "scheme")
    return ("quantize", *(["base"] if mixed else []), key), describe(getattr(algorithm, key))
