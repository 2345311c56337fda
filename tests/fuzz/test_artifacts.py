"""An artifact's and a store's JSON, damaged and absurd, through the doors of the commands."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantkit.build.artifact import plan_build
from quantkit.build.progress import LineProgress
from quantkit.build.store import Store
from quantkit.build.verify import verify_artifact
from quantkit.bundle.layouts import bundle_artifact
from quantkit.bundle.manifest import check_files, load_manifest
from quantkit.core.integrity import sealed
from quantkit.hub.artifact import check_artifact
from quantkit.hub.publish import Request, plan
from quantkit.recipe.load import load_recipe
from quantkit.runtime.transcriber import Transcriber
from tests.build.toy import ARTIFACT, CHAIN, STORE, Points, make_workshop, toy_build, toy_chain
from tests.fuzz.trial import damaged, rounds, trial
from tests.hub.conftest import make_artifact
from tests.runtime.conftest import tiny_artifact

__all__ = ["tiny_artifact"]

DEEP = 10_000
#: What a hand or a machine may put in place of any value, as JSON.
VALUES = [
    "null",
    "true",
    "[]",
    "{}",
    '""',
    '"text"',
    r'"\u001b[31m\u0000\ud800"',
    '"../../outside"',
    json.dumps("x" * 100_000),
    "-1",
    "0",
    "1",
    "0.5",
    "1e308",
    "1e999",
    "-1e308",
    "1e-320",
    str(10**12),
    str(10**40),
    str(10**350),
    "9" * 6000,
    "NaN",
    "-Infinity",
    "[" * DEEP + "]" * DEEP,
    '{"a":' * DEEP + "1" + "}" * DEEP,
    json.dumps([0] * 50_000),
    json.dumps(dict.fromkeys(map(str, range(20_000)))),
]


def absurd(content: bytes, seed: int, *, seal: bool) -> bytes:
    """JSON with a key or value of it gone, another, or twice."""
    chance = random.Random(seed)
    value = json.loads(content)
    for _ in range(chance.choice((1, 1, 2, 3))):
        holder, key = chance.choice(list(_places(value)))
        match chance.randrange(6):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[chance.choice(["", "../x", "a\0b", "\x1b[2J", "k" * 3000])] = holder[key]
            case _:
                holder[key] = _Raw(chance.choice(VALUES))
        if not list(_places(value)):
            break
    text = _dump(value)
    if seal:
        try:
            return json.dumps(sealed(json.loads(text))).encode()
        except (ValueError, RecursionError):  # what cannot be sealed is tried without
            pass
    return text.encode()


class _Raw(str):
    """JSON that Python would not write."""

    __slots__ = ()


def _dump(value: Any) -> str:
    if isinstance(value, _Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{_dump(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_dump, value)) + "]"
    return json.dumps(value)


def _places(value: Any):
    """Every holder and key in a JSON value."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


@pytest.fixture(scope="module")
def artifact(tiny_artifact, tmp_path_factory) -> Path:
    """A tiny model as an artifact."""
    model = shutil.copytree(tiny_artifact, tmp_path_factory.mktemp("fuzz") / "model")
    (model / "tokenizer.model").write_bytes(b"\0pieces")
    made = make_artifact(model, model.parent / "artifact")
    Transcriber.load(made)  # what is loaded once takes memory for good
    return made


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    shop = make_workshop(tmp_path_factory.mktemp("shop"))
    with pytest.MonkeyPatch.context() as patch:
        toy_build(patch, shop)
        patch.setattr(CHAIN, lambda recipe, found: toy_chain(recipe, found, Points()))
        yield shop


def _mutated(content: bytes, seed: int, *, is_json: bool) -> bytes:
    if seed % 3 == 0 or not is_json:
        return damaged(content, seed)
    return absurd(content, seed, seal=seed % 3 == 1)


def _doors(folder: Path, out: Path) -> dict[str, Callable[[], object]]:
    progress = LineProgress.__new__(LineProgress)  # never drawn on: all end before

    def files() -> None:
        check_files(folder, load_manifest(folder))

    def speak() -> None:
        stream = Transcriber.load(folder, 1).stream()
        stream.push(np.zeros(8000, np.float32))
        stream.flush()

    return {
        "files": files,
        "transcribe": speak,
        "check": lambda: Transcriber.load(folder, 1, check=True),
        "bundle": lambda: bundle_artifact(folder, ["native"], out),
        "publish": lambda: check_artifact(folder, None, force=False),
        "publish by force": lambda: plan(Request(folder, "org/toy", force=True), None),
        "verify": lambda: verify_artifact(folder, None, None, Store(out / "store"), progress),
    }


@pytest.mark.parametrize("seed", rounds(70, 500))
def test_an_artifacts_files(seed, artifact, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(artifact, tmp_path / "artifact")
    name = ("manifest.json", "manifest.json", "streaming.json", "tokens.txt")[seed % 4]
    right = (folder / name).read_bytes()
    (folder / name).write_bytes(_mutated(right, seed, is_json=name.endswith("json")))
    changed = (folder / name).read_bytes() != right
    for door, call in _doors(folder, tmp_path / "out").items():
        said = trial(call, f"{name}, seed {seed}, {door}")
        if door == "files" and changed and name != "manifest.json":
            assert said is not None
            assert name in said


@pytest.mark.slow
@pytest.mark.parametrize("seed", rounds(40, 300))
def test_a_model_without_a_manifest(seed, artifact, tmp_path) -> None:
    folder = shutil.copytree(artifact, tmp_path / "model")
    (folder / "manifest.json").unlink()
    name = ("streaming.json", "streaming.json", "streaming.json", "tokens.txt")[seed % 4]
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(_mutated(content, 7000 + seed, is_json=name.endswith("json")))
    said = trial(_doors(folder, tmp_path / "out")["transcribe"], f"{name}, seed {seed}")
    assert said is None or "/" in said


@pytest.mark.parametrize("seed", rounds(40, 200))
def test_a_stores_files(seed, workshop, monkeypatch) -> None:
    monkeypatch.chdir(workshop)
    chance = random.Random(seed)
    names = ("*/*/entry.json", "*/*/entry.json", "*/*/checked.json", "verify/*/files/parity.json")
    paths = sorted(STORE.glob(names[seed % 4])) or sorted(STORE.glob("*/*/entry.json"))
    paths += [ARTIFACT / "manifest.json"]
    path = chance.choice(paths)
    right = path.read_bytes()
    path.write_bytes(_mutated(right, seed, is_json=True))
    rows: list[Any] = []

    def door() -> None:
        rows.extend(plan_build(load_recipe(Path("recipe.yaml")), ARTIFACT, Store(STORE)))

    try:
        assert trial(door, f"{path.name}, seed {seed}") is None
        sealed_anew = seed % 3 == 1
        if path.read_bytes() != right and path.name != "checked.json" and not sealed_anew:
            assert any(path.name in row.why for row in rows)
        assert all(len(row.why) < 4000 for row in rows)
    finally:
        path.write_bytes(right)
