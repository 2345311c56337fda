"""The demo model at every stage, made once for all processes of a test run."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock

from quantkit.core.files import complete_directory

#: Whether pytest-xdist runs several processes, of which this is one.
_ONE_OF_SEVERAL = "PYTEST_XDIST_WORKER" in os.environ
for _library in ("OMP", "NUMBA"):  # a worker inherits what this sets in the process that starts it
    os.environ[f"{_library}_NUM_THREADS"] = "1" if _ONE_OF_SEVERAL else "2"

ROOT = Path(__file__).parent.parent
CHUNKS_MS = (80, 160, 560, 1120)

#: Files that take longest; with several processes they have to begin first.
LONGEST = (
    "build/comparison/test_run.py",
    "nemo/export/test_encoder.py",
    "benchmarks/test_incumbent.py",
    "test_main_job.py",
    "nemo/export/test_variants.py",
    "quantize/schemes/test_olive.py",
    "bench/test_steps.py",
    "demo/test_train.py",
    "fuzz/test_onnx.py",
    "bundle/test_clients.py",
    "bundle/test_client.py",
    "calibrate/sensitivity/test_layers.py",
    "runtime/test_prepared.py",
    "runtime/test_carry_over.py",
    "evaluate/test_depth.py",
    "evaluate/test_kill.py",
)

Stage = Callable[[int], Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, each whole; what needs the demo exported is slow."""
    for item in items:
        if {"exported", "fused"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    rank = {str(ROOT / "tests" / name): number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(str(item.path), len(rank)))


def each_once(
    folders: pytest.TempPathFactory, name: str, make: Callable[[int, Path], None]
) -> Stage:
    """A stage's result for each chunk length, made when a process first asks for it."""
    own = folders.getbasetemp()
    shared = own.parent if _ONE_OF_SEVERAL else own

    @cache
    def stage(chunk_ms: int) -> Path:
        out = shared / f"{name}-{chunk_ms}"
        with FileLock(f"{out}.lock"):
            if not out.exists():
                with complete_directory(out) as temporary:
                    make(chunk_ms, temporary)
        return out

    return stage


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
    from quantkit.nemo.export.stage import export_checkpoint

    return each_once(
        tmp_path_factory,
        "exported",
        lambda chunk_ms, out: export_checkpoint(demo_checkpoint, chunk_ms, out, Silent()),
    )


@pytest.fixture(scope="session")
def fused(exported: Stage, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The same after the rewrites: a complete fp32 model."""
    from quantkit.core.progress import Silent
    from quantkit.graph.fusion import fuse_model

    return each_once(
        tmp_path_factory,
        "fused",
        lambda chunk_ms, out: fuse_model(exported(chunk_ms), out, Silent()),
    )


@pytest.fixture(scope="session")
def demo_artifact(fused: Stage) -> Path:
    """The fp32 demo model at 560 ms."""
    return fused(560)
