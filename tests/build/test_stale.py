"""A change of code makes those stages stale whose work runs through it, and no others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import quantkit

STAGES = {
    "export": "nemo.export.stage",
    "fuse": "graph.fusion",
    "calibrate": "calibrate.statistics",
    "sensitivity": "calibrate.sensitivity.measure",
    "quantize": "quantize.graphs",
    "verify": "evaluate.verification",
    "bundle": "bundle.native",
}
PROGRAM = """
import json, sys
from quantkit.build.engine import stage_version
stages = json.loads(sys.argv[1]).items()
print(json.dumps({name: stage_version(1, module) for name, module in stages}))
"""


def versions(folder: Path) -> dict[str, str]:
    """Of all stages, by the copy of quantkit in a folder."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(STAGES)]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(Path(quantkit.__file__).parent, folder / "quantkit")
    return folder


@pytest.fixture(scope="module")
def before(copy: Path) -> dict[str, str]:
    return versions(copy)


@pytest.mark.parametrize(
    ("leaf", "stale"),
    [
        ("graph/rewrites/silu.py", {"fuse"}),
        ("quantize/schemes/rtn.py", {"sensitivity", "quantize"}),
        ("nemo/loading/weights.py", {"export", "verify"}),
        ("nemo/__init__.py", {"export", "verify"}),
        ("evaluate/words.py", {"verify"}),
        ("nemo/reference/streaming.py", {"verify"}),
        ("runtime/decoders/greedy.py", {"calibrate", "sensitivity", "verify"}),
        ("bundle/card.py", {"bundle"}),
        ("core/errors.py", set(STAGES)),
        ("report/format.py", set()),
    ],
)
def test_exactly_the_stages_that_run_through_it(
    leaf: str, stale: set[str], copy: Path, before: dict[str, str]
) -> None:
    path = copy / "quantkit" / leaf
    content = path.read_bytes()
    path.write_bytes(content + b"# changed\n")
    try:
        after = versions(copy)
    finally:
        path.write_bytes(content)
    assert {name for name in STAGES if after[name] != before[name]} == stale
