"""The application that commands register with, and what they share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from quantkit import __version__
from quantkit.cli.console import messages
from quantkit.core.errors import MissingExtraError
from quantkit.core.text import one_line

#: A flag without its negation, and KEY=VALUE put over a recipe.
Flag = Annotated[bool, Parameter(negative="")]
Overrides = Annotated[tuple[str, ...], Parameter(name="--set", negative="")]

STORE = Path(".quantkit/store")

app = App(
    name="quantkit",
    help="Turn NeMo streaming transducers into small, fast, proven ONNX graphs.",
    version=__version__,
    suppress_keyboard_interrupt=False,
)


def open_artifact(name: str) -> Path:
    """The directory of an artifact; hf://ORGANISATION/NAME[@REVISION] is downloaded if need be.

    Raises:
        InputError: the hub does not have it, or it is not what its manifest says.
        MissingExtraError: the hub is named and `huggingface_hub` is not installed.
    """
    if not name.startswith("hf:"):
        return Path(name)
    try:
        from quantkit.hub.snapshot import open_snapshot
    except ModuleNotFoundError:
        raise MissingExtraError("huggingface_hub", "hub") from None
    calm_bars()
    snapshot = open_snapshot(name)
    line = one_line(f"{name}: commit {snapshot.commit}")
    messages().print(line, highlight=False, soft_wrap=True)
    return snapshot.directory


def calm_bars() -> None:
    """Leave the bars of the hub's client to terminals: in a log they are lines without end."""
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    if not sys.stderr.isatty():
        disable_progress_bars()
