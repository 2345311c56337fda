"""The command that publishes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.box import SIMPLE_HEAD

from quantkit.cli.app import Flag, app, calm_bars, open_artifact
from quantkit.cli.console import Table, complain, messages, say, show
from quantkit.core.text import one_line


@app.command
def publish(
    artifact: str,
    /,
    *,
    repo: str,
    revision: str = "main",
    private: Annotated[bool, Parameter(negative="--public")] = True,
    license_: Annotated[str | None, Parameter(name="--license")] = None,
    report: Path | None = None,
    force: Flag = False,
    dry_run: Flag = False,
) -> None:
    """Upload an artifact with a model card to a model hub, and read it back.

    The hub is the one of HF_ENDPOINT, the token that of HF_TOKEN or of `hf auth login`. A cut
    upload goes on where it was when the command is given again.

    Args:
        artifact: the artifact directory, or its name on a hub.
        repo: ORGANISATION/NAME; it is created if need be.
        revision: the branch.
        private: whether only its owners see a repository; new ones are private.
        license_: the license of the source model, where that is a .nemo file or names none.
        report: report.json of a comparison with the artifact's recipe, for word error rates.
        force: publish what has changed or missed a gate; the card says so.
        dry_run: only print each file with size and digest, and the card; no network is touched.
    """
    from quantkit.hub.client import Hub
    from quantkit.hub.publish import Request, plan
    from quantkit.hub.publish import publish as send

    request = Request(open_artifact(artifact), repo, revision, license_, report, force)
    hub = None if dry_run else Hub()
    planned = plan(request, hub)
    if hub is None:
        show(_files_table(planned.items))
        say(planned.card, end="")
        if planned.license is None:
            complain("the license is that of the source model, which is asked for when publishing")
        return
    calm_bars()
    commit = send(
        request,
        hub,
        planned,
        lambda line: messages().print(one_line(line), highlight=False, soft_wrap=True),
        private=private,
    )
    say(f"hf://{repo}@{commit}: {len(planned.items)} files, as sent")


def _files_table(files: Sequence[Any]) -> Table:
    """Each file with its size and digest."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("file")
    table.add_column("bytes", justify="right")
    table.add_column("sha256", overflow="fold")
    for file in files:
        table.add_row(file.name, f"{file.bytes:,}", file.sha256)
    return table
