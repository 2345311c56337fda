"""Whatever byte of the store or of an artifact changes, a build says so and the bytes are right."""

import io
import random
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from quantkit.build.artifact import build, plan_build
from quantkit.build.progress import LineProgress
from quantkit.build.store import Store
from quantkit.recipe.load import load_recipe
from tests.build.toy import ARTIFACT, CHAIN, STORE, Points, make_workshop, toy_chain
from tests.fuzz.trial import rounds

DOWNSTREAM = {"export": ["fuse", "quantize"], "fuse": ["quantize"], "quantize": [], "verify": []}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """A shop with everything built once; what a test damages, the builds in it mend."""
    shop = make_workshop(tmp_path_factory.mktemp("damage") / "shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(shop)
        _build(patch)
        yield shop


def _build(patch) -> str:
    """What a build says."""
    patch.setattr(CHAIN, lambda recipe, found: toy_chain(recipe, found, Points()))
    console = Console(record=True, file=io.StringIO(), width=500)
    build(load_recipe(Path("recipe.yaml")), ARTIFACT, Store(STORE), LineProgress(console))
    return console.export_text()


def _plan(patch) -> str:
    patch.setattr(CHAIN, lambda recipe, found: toy_chain(recipe, found, Points()))
    rows = plan_build(load_recipe(Path("recipe.yaml")), ARTIFACT, Store(STORE))
    return "\n".join(row.why for row in rows)


def _tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "checked.json" and "locks" not in path.parts
    }


def _flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    start = chance.randrange(len(content))
    for place in range(start, min(start + chance.choice((1, 64)), len(content))):
        content[place] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


@pytest.mark.parametrize("seed", rounds(24, 120))
def test_flips_over_the_store(seed, workshop, monkeypatch) -> None:
    monkeypatch.chdir(workshop)
    right = _tree(Path())
    chance = random.Random(seed)
    path = chance.choice(sorted(STORE.glob("*/*/files/*")) + sorted(STORE.glob("*/*/entry.json")))
    if seed % 2:  # also what was made of the damaged file is gone
        for stage in [*DOWNSTREAM[path.relative_to(STORE).parts[0]], "verify"]:
            if stage not in path.parts:
                shutil.rmtree(STORE / stage)
        shutil.rmtree(ARTIFACT)
    _flip(path, chance)
    assert path.name in _plan(monkeypatch)
    assert f"stored result is damaged: {path.name}" in _build(monkeypatch)
    assert _tree(Path()) == right
    assert not _plan(monkeypatch).strip()


@pytest.mark.parametrize("seed", rounds(12, 60))
def test_flips_over_an_artifact(seed, workshop, monkeypatch) -> None:
    monkeypatch.chdir(workshop)
    right = _tree(Path())
    chance = random.Random(1000 + seed)
    path = chance.choice(sorted(ARTIFACT.iterdir()))
    _flip(path, chance)
    assert f"the artifact's {path.name} " in _plan(monkeypatch)
    assert f"bundle: the artifact's {path.name} " in _build(monkeypatch)
    assert _tree(Path()) == right


def test_files_more_or_less(workshop, monkeypatch) -> None:
    monkeypatch.chdir(workshop)
    right = _tree(Path())
    (fuse,) = STORE.glob("fuse/*/files")
    (fuse / "joint.onnx.data").write_bytes(b"more")
    assert "joint.onnx.data is no part of it" in _plan(monkeypatch)
    (fuse / "tokens.txt").unlink()
    (fuse / "joint.onnx").write_bytes(b"short")
    (fuse / "encoder.onnx").unlink()
    said = _build(monkeypatch)
    assert "joint.onnx.data is no part of it; encoder.onnx is missing; joint.onnx has 5" in said
    assert "; 1 more" in said
    assert _tree(Path()) == right


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"joint.onnx": {"stamp": [1, 2, 3, 4]}}'])
def test_damaged_notes_change_nothing(content, workshop, monkeypatch) -> None:
    monkeypatch.chdir(workshop)
    for notes in STORE.glob("*/*/checked.json"):
        notes.write_text(content)
    assert not _plan(monkeypatch).strip()
