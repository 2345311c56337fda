"""The hub's own client and `datasets` against a hub on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.speech.hub import COMMIT, Hub
from tests.speech.suites import prompts, state, write_dataset

pytestmark = pytest.mark.slow

pytest.importorskip("datasets")

ROOT = Path(__file__).parents[2]
#: Arguments: cache, revisions. The client reads the hub's address when it is imported.
GATHER = """
import sys
from pathlib import Path
from quantkit.core.errors import InputError
from tests.speech.suites import gathered, of

for revision in sys.argv[2:]:
    try:
        found = gathered(Path(sys.argv[1]), {"a": of("org/esb", revision=revision)}).sets["a"]
        print(found.source, found.revision, *(row.text for row in found.utterances), sep="|")
    except InputError as error:
        print(error)
"""


def test_the_hub_is_asked_once(tmp_path: Path) -> None:
    rows = prompts(3)
    hub = Hub(write_dataset(tmp_path / "esb", {"test.clean": rows}))
    environment = os.environ | {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(ROOT),
    }

    def gathered(*revisions: str) -> list[str]:
        command = [sys.executable, "-c", GATHER, str(tmp_path / "cache"), *revisions]
        return subprocess.run(
            command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
        ).stdout.splitlines()

    (told,) = gathered("main")
    assert told.split("|") == [
        "org/esb (librispeech, test.clean)",
        COMMIT,
        *(str(row["text"]) for row in rows),
    ]
    assert "/api/datasets/org/esb/revision/main" in hub.asked
    # Everything else was asked for at the commit that this resolved to.
    assert not [path for path in hub.asked if "/resolve/" in path and COMMIT not in path]

    hub.shutdown()
    hub.server_close()
    before = state(tmp_path / "cache")
    offline, refused = gathered(COMMIT, "main")
    assert offline == told
    assert refused.startswith(
        "sets.a.dataset.revision: the hub does not tell the commit of 'main' of org/esb"
    )
    assert state(tmp_path / "cache") == before
