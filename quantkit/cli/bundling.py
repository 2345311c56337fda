"""The command that lays an artifact out for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from quantkit.bundle.guide import Layout
from quantkit.cli.app import app, open_artifact
from quantkit.cli.console import say
from quantkit.cli.show.recipes import size_line


@app.command
def bundle(
    artifact: str,
    /,
    *,
    format_: Annotated[tuple[Layout, ...], Parameter(name="--format", negative="")],
    out: Path,
) -> None:
    """Write an artifact in the layout of a runtime; the weights stay the same.

    Args:
        artifact: its directory, or hf://ORG/NAME; its files are checked against the manifest first.
        format_: native, genai (onnxruntime-genai) or sherpa (sherpa-onnx). Repeated, layouts lie
            side by side over one copy of the weights.
        out: the directory to write.
    """
    from quantkit.bundle.layouts import bundle_artifact
    from quantkit.core.targets import check_directory

    check_directory("--out", out, [] if artifact.startswith("hf:") else [Path(artifact)])
    manifest = bundle_artifact(open_artifact(artifact), format_, out)
    say(f"{out}: {size_line(manifest)}")
    for layout, facts in manifest.get("layouts", {}).items():
        if (error := facts["max_relative_error"]) is not None:
            say(f"{layout}: within {error:.1e} of the artifact's graphs")
