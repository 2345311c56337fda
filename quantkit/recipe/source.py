"""Where a checkpoint comes from: the demo, a file, or a pinned revision on the model hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ACCEPTED = "'demo', the path of a .nemo file, or hf://ORGANISATION/NAME@REVISION"
# Each part may become a folder's name, so none is . or ..
_PART = r"(?!\.\.?(?:[/@]|$))[\w.-]+"
#: ORGANISATION/NAME of a repository, and a revision of it.
REPOSITORY, REVISION = rf"{_PART}/{_PART}", rf"{_PART}(?:/{_PART})*"
_HUB = re.compile(rf"hf://(?P<repo>{REPOSITORY})(@(?P<revision>{REVISION}))?", re.ASCII)


@dataclass(frozen=True)
class DemoSource:
    """The checkpoint that ships with the project."""


@dataclass(frozen=True)
class FileSource:
    """A .nemo file, relative to the working directory."""

    path: Path


@dataclass(frozen=True)
class HubSource:
    """The .nemo file of a repository on the Hugging Face hub at one revision."""

    repository: str
    revision: str


Source = DemoSource | FileSource | HubSource


def parse_source(text: str) -> Source:
    """Read `model.source` of a recipe.

    Raises:
        ValueError: the text is none of the three forms; the message says what is missing.
    """
    if text == "demo":
        return DemoSource()
    if text.startswith("hf:"):
        return _hub(text)
    if text.endswith(".nemo"):
        return FileSource(Path(text))
    raise ValueError(f"found {text!r}, accepted: {ACCEPTED}")


def _hub(text: str) -> HubSource:
    match = _HUB.fullmatch(text)
    if match is None:
        raise ValueError(f"found {text!r}, accepted: hf://ORGANISATION/NAME@REVISION")
    if match["revision"] is None:
        raise ValueError(
            f"found {text!r} without a revision; a hub name has to be pinned, because its files "
            f"change: {text}@REVISION with a commit from the repository's history"
        )
    return HubSource(match["repo"], match["revision"])
