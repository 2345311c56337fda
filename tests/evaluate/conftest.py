"""The demo model in PyTorch and as graphs, on recorded speech in small shards."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from quantkit.core.files import sha256_file, sha256_json
from quantkit.core.progress import Silent
from quantkit.evaluate.evaluation import evaluate
from quantkit.evaluate.record import Record
from quantkit.evaluate.system import GraphSystem, NemoSystem, System
from quantkit.evaluate.workers import Workers
from quantkit.speech.manifest import read_manifest
from quantkit.speech.utterances import SuiteUtterance
from tests.conftest import Stage

CLIPS = 12
T = TypeVar("T")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of about two clips, so that a few clips are many shards."""
    monkeypatch.setattr("quantkit.evaluate.shards.SHARD_S", 8.0)


@pytest.fixture(scope="session")
def speech(parity_manifest: Path) -> list[SuiteUtterance]:
    """Clips in two sets; the first of each is deep."""
    clips = read_manifest(parity_manifest)[:CLIPS]
    return [
        SuiteUtterance(
            set_name="odd" if index % 2 else "even",
            id=clip.audio.stem,
            audio=clip.audio,
            text=clip.text or "",
            duration_s=clip.duration_s or 0.0,
            digest=sha256_json([sha256_file(clip.audio), clip.text]),
            deep=index < 2,
        )
        for index, clip in enumerate(clips)
    ]


@pytest.fixture(scope="session")
def pytorch(demo_checkpoint: Path) -> NemoSystem:
    return NemoSystem("PyTorch", demo_checkpoint, sha256_file(demo_checkpoint), "streaming", 560)


def graph_system(name: str, model: Path, reference: NemoSystem) -> GraphSystem:
    files = sorted(path for path in model.iterdir() if path.is_file())
    digest = sha256_json({path.name: sha256_file(path) for path in files})
    return GraphSystem(name, model, digest, reference)


@pytest.fixture(scope="session")
def fp32(fused: Stage, pytorch: NemoSystem) -> GraphSystem:
    return graph_system("fp32", fused(560), pytorch)


@pytest.fixture(scope="session")
def int4(
    fused: Stage, pytorch: NemoSystem, tmp_path_factory: pytest.TempPathFactory
) -> GraphSystem:
    """The same in 4 bits: another model than PyTorch's, so that something is to be measured."""
    from quantkit.quantize.graphs import quantize_model
    from quantkit.quantize.settings import RtnSettings

    out = tmp_path_factory.mktemp("int4")
    quantize_model(fused(560), None, RtnSettings(scheme="rtn"), out, Silent())
    return graph_system("int4", out, pytorch)


@pytest.fixture(scope="session")
def systems(pytorch: NemoSystem, fp32: GraphSystem, int4: GraphSystem) -> list[System]:
    return [pytorch, fp32, int4]


@pytest.fixture(scope="session")
def undisturbed(
    systems: list[System],
    speech: list[SuiteUtterance],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, list[Record]]]:
    """All systems on all clips, in this process: the kept results and the records."""
    results = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quantkit.evaluate.shards.SHARD_S", 8.0)
        return results, evaluate(systems, speech, results, Workers(), Silent())


@pytest.fixture
def nemo_done(undisturbed: tuple[Path, dict[str, list[Record]]], tmp_path: Path) -> Path:
    """Results of PyTorch alone, which take long to compute."""
    [directory] = {path.parents[1] for path in undisturbed[0].glob("*/arrays/*.npz")}
    shutil.copytree(directory, tmp_path / "results" / directory.name)
    return tmp_path / "results"


def tree(results: Path) -> dict[str, str]:
    """Every file below a directory, by its digest."""
    return {
        str(path.relative_to(results)): sha256_file(path)
        for path in sorted(results.rglob("*"))
        if path.is_file()
    }


def graph_parts(results: Path) -> Counter[str]:
    """How many parts of graphs hold each utterance."""
    parts = results.glob("*/parts/*.jsonl")
    of_graphs = [path for path in parts if not (path.parents[1] / "arrays").exists()]
    lines = [line for path in of_graphs for line in path.read_text().splitlines()]
    return Counter(json.loads(line)["utterance"] for line in lines)


class Disturbing:
    """Progress that does something when the first shard is told."""

    def __init__(self, disturb: Callable[[], None]) -> None:
        self._disturb = disturb

    def track(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:
        for done, item in enumerate(items):
            if done == 0:
                assert total > 3, f"too little work in {what} to be disturbed"
                self._disturb()
            yield item
