"""A chain of fast stages with real files, and a process that runs it and tells where it is.

`python -m tests.build.toy` builds in the working directory; every point is printed, and
there the process waits for a line, so that whoever reads the point can kill it exactly there.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from quantkit.build.artifact import Built, build
from quantkit.build.checkpoint import Checkpoint
from quantkit.build.engine import Stage, Work, Workspace
from quantkit.build.progress import LineProgress
from quantkit.build.store import Store
from quantkit.recipe.load import load_recipe
from quantkit.recipe.schema import Recipe
from tests.runtime.conftest import streaming_json

ARTIFACT, STORE = Path("out") / "artifact", Path("store")
CHAIN = "quantkit.build.artifact.chain"
PIECE = 1 << 18
RECIPE = """schema: 1
name: toy
model: {source: toy.nemo}
quantize: {scheme: rtn, bits: 4}
verify:
  manifest: speech.jsonl
  gates: {token_error_rate: 0.1}
"""


class Points:
    """Where a build is; silent unless it has to wait at each of them."""

    def __init__(self, *, wait: bool = False) -> None:
        self.wait = wait
        self.seen: list[str] = []

    def __call__(self, name: str) -> None:
        self.seen.append(name)
        if self.wait:
            print(name, flush=True)
            sys.stdin.readline()


def make_workshop(folder: Path) -> Path:
    """A working directory with a recipe, a checkpoint and speech to build from."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toy.nemo").write_bytes(b"weights")
    (folder / "one.wav").write_bytes(b"audio")
    (folder / "speech.jsonl").write_text('{"audio": "one.wav", "text": "one"}\n')
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder


def toy_chain(recipe: Recipe, checkpoint: Checkpoint, points: Points) -> list[Stage]:
    """Export, fuse, quantize and verify of some megabytes that follow from settings and inputs."""
    weights = {"checkpoint": checkpoint.sha256}
    bits = getattr(recipe.quantize, "bits", 0)
    model = [f"{graph}.onnx" for graph in ("encoder", "predictor", "joint")]
    beside = ["streaming.json", "tokenizer.model", "tokens.txt"]
    return [
        Stage(
            "export",
            "1",
            _work("export", str(recipe.model.chunk_ms), [*model, *beside], points),
            {"chunk_ms": recipe.model.chunk_ms},
            files=weights,
            libraries={"torch": "1.0"},
        ),
        Stage("fuse", "1", _work("fuse", "", [*model, *beside], points), {}, ("export",)),
        Stage(
            "quantize",
            "1",
            _work("quantize", str(bits), [*model, *beside], points),
            {"bits": bits},
            ("fuse",),
            libraries={"numpy": "2.0"},
        ),
        Stage(
            "verify", "1", _work("verify", "", ["parity.json"], points), {}, ("quantize",), weights
        ),
    ]


def toy_build(
    monkeypatch: pytest.MonkeyPatch,
    workshop: Path,
    *,
    overrides: tuple[str, ...] = (),
    force: bool = False,
) -> tuple[Built, list[str]]:
    """Build in this process; the artifact and the points that were passed."""
    points = Points()
    monkeypatch.chdir(workshop)
    monkeypatch.setattr(CHAIN, lambda recipe, found: toy_chain(recipe, found, points))
    recipe = load_recipe(Path("recipe.yaml"), overrides)
    progress = LineProgress(Console(quiet=True))
    return build(recipe, ARTIFACT, Store(STORE), progress, force=force), points.seen


def _work(stage: str, salt: str, names: list[str], points: Points) -> Work:
    def work(space: Workspace) -> None:
        points(f"{stage} begins")
        seed = hashlib.sha256(f"{stage}{salt}".encode())
        for folder in space.upstream.values():
            for path in sorted(folder.iterdir()):
                seed.update(path.read_bytes())
        for name in space.progress.track(names, len(names), stage):
            kept = space.scratch / name
            if not kept.exists():
                with kept.with_suffix(".part").open("wb") as file:
                    file.write(_content(name, seed.digest()))
                    points(f"{stage} inside {name}")
                kept.with_suffix(".part").replace(kept)
            (space.out / name).write_bytes(kept.read_bytes())
        if stage == "quantize":
            graph = {"parameters": 10, "bits_per_weight": 4.5, "tensors": []}
            if salt == "2":
                graph["notes"] = ["table 'w' stays float32"]
            report = {"graphs": dict.fromkeys(("encoder", "predictor", "joint"), graph)}
            (space.out / "quantize.json").write_text(json.dumps(report))
        points(f"{stage} ends")

    return work


def _content(name: str, seed: bytes) -> bytes:
    if name == "streaming.json":
        return json.dumps(streaming_json(right=6)).encode()
    if name == "parity.json":
        return json.dumps(PARITY).encode()
    return hashlib.shake_256(seed + name.encode()).digest(PIECE)


PARITY = {
    "reference": "toy",
    "candidate": "toy",
    "utterances": 1,
    "token_exact_utterances": 1,
    "frame_exact_utterances": 1,
    "reference_tokens": 10,
    "token_errors": 1,
    "near_tie_errors": 0,
    "encoder_max_abs_error": 1e-6,
    "wer": {
        "reference": 0.5,
        "candidate": 0.5,
        "words": 2,
        "difference": 0.0,
        "difference_low": 0.0,
        "difference_high": 0.0,
    },
}


@contextmanager
def _announced(points: Points) -> Iterator[None]:
    """Make renames of directories points too: just before, and just after."""
    plain = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if self.is_dir():
            points(f"before rename of {self.parent.name}")
        moved = plain(self, target)
        if target.is_dir():
            points(f"after rename of {self.parent.name}")
        return moved

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        yield


def main() -> None:
    points = Points(wait=True)
    recipe = load_recipe(Path("recipe.yaml"))
    with pytest.MonkeyPatch.context() as patch, _announced(points):
        patch.setattr(
            "quantkit.build.artifact.chain",
            lambda recipe, found: toy_chain(recipe, found, points),
        )
        progress = LineProgress(Console(quiet=True))
        build(recipe, ARTIFACT, Store(STORE), progress)


if __name__ == "__main__":
    main()
