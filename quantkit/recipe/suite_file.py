"""Suite files into typed suites; a bare manifest or folder is a suite of one set."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from quantkit.core.errors import InputError
from quantkit.recipe.document import read_document
from quantkit.recipe.library import find_shipped, shipped_suites
from quantkit.recipe.load import refuse, validated
from quantkit.recipe.schema import NAME
from quantkit.recipe.suite import SuiteSettings
from quantkit.recipe.yaml import KeyPath
from quantkit.speech.sets import LONG_FORM, SetSettings

_SET_NAME = re.compile(NAME)


def load_suite(path: Path) -> SuiteSettings:
    """Read a suite: a YAML file or the name of a shipped one, or a .jsonl manifest or folder.

    A manifest, or a folder of recordings, is the only set of its suite.

    Raises:
        InputError: one line for each problem: where, which key, what was found, what is accepted.
    """
    path = find_shipped(path, shipped_suites())
    if path.is_dir():
        return _of_one(path.resolve().name, SetSettings(folder=str(path)))
    if path.suffix == ".jsonl":
        # Manifests tend to have one name, and lie in folders with telling ones.
        name = path.resolve().parent.name if path.stem == "manifest" else path.stem
        return _of_one(name, SetSettings(manifest=str(path)))
    if path.suffix not in {".yaml", ".yml"}:
        raise InputError(
            f"{path}: accepted as a suite: a .yaml file, a .jsonl manifest or a folder of "
            f"recordings; relative paths start at the working directory, {Path.cwd()}"
        )
    document = read_document(path, what="the suite")
    suite = validated(TypeAdapter(SuiteSettings), document)
    refuse(document, _combinations(suite))
    return suite


def suite_schema() -> dict[str, Any]:
    """The JSON Schema of suites, for editors."""
    title = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return title | TypeAdapter(SuiteSettings).json_schema(by_alias=True)


def _of_one(name: str, only: SetSettings) -> SuiteSettings:
    plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("._-")[:90] or "speech"
    name = f"{plain}-speech" if plain == LONG_FORM else plain
    return SuiteSettings(schema_version=1, name=name, language="en", sets={name: only})


def _combinations(suite: SuiteSettings) -> Iterator[tuple[KeyPath, str]]:
    """What is right by its type and wrong all the same."""
    if not suite.sets:
        yield ("sets",), "found no set, accepted: at least one"
    for name in suite.sets:
        if name == LONG_FORM:
            yield ("sets", name), f"{name!r} is the name of the recording joined from all sets"
        elif not _SET_NAME.match(name):
            yield (
                ("sets", name),
                f"found the name {name!r}, accepted: lower-case letters, digits, '.', '_' and "
                "'-', a letter or digit first, at most 100",
            )
    for number, gate in enumerate(suite.gates):
        if gate.set is not None and gate.set not in suite.sets:
            near = difflib.get_close_matches(gate.set, suite.sets, n=1)
            hint = f". Did you mean {near[0]!r}?" if near else ""
            yield (
                ("gates", number, "set"),
                f"found {gate.set!r}, accepted: {', '.join(suite.sets)}{hint}",
            )
