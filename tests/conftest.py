"""The demo model at every stage, made once a session."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")

ROOT = Path(__file__).parent.parent
CHUNKS_MS = (80, 160, 560, 1120)

Stage = Callable[[int], Path]


@pytest.fixture(scope="session")
def demo_checkpoint() -> Path:
    return ROOT / "demo" / "demo.nemo"


@pytest.fixture(scope="session")
def parity_manifest() -> Path:
    """Recorded human speech that nothing was trained or calibrated on."""
    return ROOT / "calibration" / "asterisk-parity" / "manifest.jsonl"


@pytest.fixture(scope="session")
def exported(demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The demo model as exported for chunks of so many milliseconds."""
    from quantkit.core.progress import Silent
    from quantkit.export import export_checkpoint

    made: dict[int, Path] = {}

    def export(chunk_ms: int) -> Path:
        if chunk_ms not in made:
            made[chunk_ms] = tmp_path_factory.mktemp(f"exported-{chunk_ms}")
            export_checkpoint(demo_checkpoint, chunk_ms, made[chunk_ms], Silent())
        return made[chunk_ms]

    return export


@pytest.fixture(scope="session")
def fused(exported: Stage, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The same after the rewrites: a complete fp32 model."""
    from quantkit.core.progress import Silent
    from quantkit.fuse import fuse_model

    made: dict[int, Path] = {}

    def fuse(chunk_ms: int) -> Path:
        if chunk_ms not in made:
            made[chunk_ms] = tmp_path_factory.mktemp(f"fused-{chunk_ms}")
            fuse_model(exported(chunk_ms), made[chunk_ms], Silent())
        return made[chunk_ms]

    return fuse


@pytest.fixture(scope="session")
def demo_artifact(fused: Stage) -> Path:
    """The fp32 demo model at 560 ms."""
    return fused(560)
