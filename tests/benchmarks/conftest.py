"""The demo model by others' tools, made once a session: it takes two minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.incumbent import build_incumbent


@pytest.fixture(scope="session")
def incumbents(demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("incumbents") / "demo"
    build_incumbent(demo_checkpoint, 560, out)
    return out
