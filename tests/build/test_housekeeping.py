"""What nothing needs is removed, and nothing that is in use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from quantkit.build.engine import run
from quantkit.build.housekeeping import LEFTOVERS, SCRATCHES, inventory, seconds_of, unneeded
from quantkit.build.key import StageKey
from quantkit.build.progress import LineProgress
from quantkit.build.store import Store
from quantkit.cli import main
from quantkit.core.errors import InputError
from quantkit.evaluate.keys import system_key
from quantkit.evaluate.results import Results
from quantkit.evaluate.system import GraphSystem, NemoSystem
from tests.build.toy import Points, make_workshop, toy_chain

EXPORT = StageKey("export", "1", {}, {"checkpoint": "c" * 64}, {})
FUSE = StageKey("fuse", "1", {}, {"export": EXPORT.digest}, {})
OLD = StageKey("export", "0", {}, {"checkpoint": "c" * 64}, {})
DAY_S = 86_400.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two chains, results of both of their systems, speech, a measurement and leftovers."""
    store = Store(tmp_path / "store")
    put(store, EXPORT, "first", "encoder.onnx")
    put(store, FUSE, "second", "encoder.onnx", "joint.onnx")
    put(store, OLD, "gone", "encoder.onnx")
    pytorch = NemoSystem("PyTorch", Path("x.nemo"), "c" * 64, "streaming", 560)
    graphs = GraphSystem.of("graphs", store.read(FUSE).directory, pytorch)
    for system in (pytorch, graphs):
        results = Results.of(system, store.root / "results")
        results.describe(system)
        results.write_part("1" * 64, [])
        assert json.loads((results.directory / "key.json").read_text()) == system_key(system)
    for name in (
        "speech/16000/ab/abc.flac",
        "speed/1.json",
        "fuse/.2.partial/x",
        "export/.3.scratch/y",
    ):
        path = store.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(10))
    return store


def put(store: Store, key: StageKey, recipe: str, *names: str) -> None:
    with store.writing(key, recipe) as (out, _):
        for name in names:
            (out / name).write_text(f"{key.digest}{name}")


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY_S
    os.utime(path, (then, then))


def kinds(store: Store) -> dict[str, list[frozenset[str]]]:
    found: dict[str, list[frozenset[str]]] = {}
    for item in inventory(store):
        found.setdefault(item.kind, []).append(item.recipes)
    return found


def test_everything_is_listed_with_the_recipes_that_use_it(store: Store) -> None:
    found = kinds(store)
    assert set(found) == {"export", "fuse", "results", "speech", "speed", LEFTOVERS, SCRATCHES}
    assert sorted(map(sorted, found["export"])) == [["first", "second"], ["gone"]]
    assert found["fuse"] == [{"second"}]
    assert sorted(map(sorted, found["results"])) == [["first", "gone", "second"], ["second"]]
    assert len(found[LEFTOVERS]) == len(found[SCRATCHES]) == 1
    assert sum(item.bytes for item in inventory(store) if item.kind == "speech") == 10


def test_only_leftovers_go_by_themselves(store: Store) -> None:
    gone = unneeded(inventory(store), None, None, time.time())
    assert {item.path.name for item in gone} == {".2.partial"}


def test_what_was_not_used_for_long_goes(store: Store) -> None:
    age(store.root / "export" / OLD.digest, 40)
    age(store.root / "speed" / "1.json", 40)
    age(store.root / "export" / EXPORT.digest, 40)
    store.read(EXPORT)  # used again
    gone = unneeded(inventory(store), 30 * DAY_S, None, time.time())
    kept = {item.kind for item in gone}
    assert kept == {"export", "speed", LEFTOVERS}
    assert OLD.digest in {item.path.name for item in gone}
    assert EXPORT.digest not in {item.path.name for item in gone}


def test_what_a_recipe_needs_stays_at_any_age(store: Store) -> None:
    for path in store.root.glob("*/[!.]*"):
        age(path, 90)
    needed = {EXPORT.digest, FUSE.digest}
    now = time.time()
    by_need = {item.path.name for item in unneeded(inventory(store), None, needed, now)}
    assert OLD.digest in by_need
    assert not needed & by_need
    assert "abc.flac" not in by_need, "speech goes by its age alone"
    both = {item.path.name for item in unneeded(inventory(store), 30 * DAY_S, needed, now)}
    assert OLD.digest in both
    assert not needed & both


@pytest.mark.parametrize("words", ["30", "d", "-1d", "3 d", "1y"])
def test_ages_are_read_strictly(words: str) -> None:
    assert seconds_of("2w") == 14 * DAY_S
    with pytest.raises(InputError, match="--older-than: found"):
        seconds_of(words)


def test_gc_shows_first_and_removes_when_told(store: Store, tmp_path: Path, capsys) -> None:
    age(store.root / "export" / OLD.digest, 40)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "thesis.tex").touch()
    (store.root / "export" / ".link.partial").symlink_to(outside)
    words = ["store", "gc", "--store", str(store.root), "--older-than", "30d"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert f"export/{OLD.digest}" in out
    assert "3 results" in out
    assert "say --remove" in out
    assert (store.root / "export" / OLD.digest).exists()
    assert main([*words, "--remove"]) == 0
    assert "removed" in capsys.readouterr().out
    assert not (store.root / "export" / OLD.digest).exists()
    assert not list(store.root.glob("*/.*partial"))
    assert (outside / "thesis.tex").exists()
    assert store.has(EXPORT)
    assert store.has(FUSE)


def test_du_shows_kinds_and_recipes(store: Store, capsys) -> None:
    assert main(["store", "du", "--store", str(store.root)]) == 0
    out = capsys.readouterr().out
    for text in (
        "export",
        "fuse",
        "results",
        "speech",
        "speed",
        "leftovers",
        "first, gone, second",
    ):
        assert text in out
    assert main(["store", "du", "--store", str(store.root), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == len(inventory(store))
    assert {"kind", "path", "bytes", "used", "recipes"} == lines[0].keys()


def test_nothing_is_removed_from_a_store_in_use(store: Store, capsys) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom quantkit.build.store import Store\n"
        f"store = Store(Path({str(store.root)!r}))\nstore.hold()\n"
        "print('held', flush=True)\nsys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        assert main(["store", "gc", "--store", str(store.root), "--remove"]) == 2
        assert "another command uses it" in capsys.readouterr().err
        assert list(store.root.glob("*/.*"))
        child.kill()
    assert main(["store", "gc", "--store", str(store.root), "--remove"]) == 0
    assert not list(store.root.glob("*/.*partial"))


def test_a_running_build_holds_the_store(tmp_path: Path, monkeypatch) -> None:
    from quantkit.build.checkpoint import Checkpoint
    from quantkit.recipe.load import load_recipe

    monkeypatch.chdir(make_workshop(tmp_path / "workshop"))
    opened = Store(Path("store"))
    recipe = load_recipe(Path("recipe.yaml"))
    stages = toy_chain(recipe, Checkpoint(Path("toy.nemo"), "toy", None, "0" * 64), Points())
    seen = []

    def look(space) -> None:
        with (
            pytest.raises(InputError, match="another command uses it"),
            Store(Path("store")).alone(),
        ):
            pass
        seen.append(space)

    run([replace(stages[0], work=look)], opened, "toy", LineProgress(Console(quiet=True)))
    assert seen


def test_a_recipe_that_is_kept_builds_from_the_store(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(make_workshop(tmp_path / "workshop"))
    for module in ("artifact", "housekeeping"):
        name = f"quantkit.build.{module}.chain"
        monkeypatch.setattr(name, lambda recipe, found: toy_chain(recipe, found, Points()))
    assert main(["build", "recipe.yaml", "--store", "store"]) == 0
    assert main(["build", "recipe.yaml", "--store", "store", "--set", "quantize.bits=8"]) == 0
    words = ["store", "gc", "--store", "store", "--keep-recipe", "recipe.yaml", "--remove"]
    assert main(words) == 0
    capsys.readouterr()
    assert main(["build", "recipe.yaml", "--store", "store"]) == 0
    assert "quantize: cached" in capsys.readouterr().err
    kept = [item for item in inventory(Store(Path("store"))) if item.kind == "quantize"]
    assert len(kept) == 1


def test_folders_that_are_links_are_not_followed(store: Store, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "ab"
    elsewhere.mkdir(parents=True)
    (elsewhere / "mine.flac").touch()
    (store.root / "speech" / "8000").symlink_to(elsewhere.parent)
    (store.root / "speech" / "16000" / "cd").symlink_to(elsewhere)
    assert "mine.flac" not in {item.path.name for item in inventory(store)}


def test_what_an_unfinished_stage_goes_on_from_stays_with_its_recipe(store: Store) -> None:
    scratch = store.root / "export" / f".{EXPORT.digest}.scratch"
    scratch.mkdir()
    age(scratch, 90)
    items, now = inventory(store), time.time()
    assert scratch not in {item.path for item in unneeded(items, None, None, now)}
    assert scratch not in {item.path for item in unneeded(items, None, {EXPORT.digest}, now)}
    assert scratch in {item.path for item in unneeded(items, None, {OLD.digest}, now)}
    assert scratch in {item.path for item in unneeded(items, 30 * DAY_S, None, now)}


def test_partial_speech_is_a_leftover(store: Store) -> None:
    partial = store.root / "speech" / "16000" / "ab" / ".abc.flac.partial"
    partial.touch()
    assert partial in {item.path for item in unneeded(inventory(store), None, None, time.time())}


def test_a_place_that_is_no_store_stays_as_it_is(tmp_path: Path, capsys) -> None:
    assert main(["store", "gc", "--store", str(tmp_path / "typo")]) == 2
    assert "typo: found no such directory" in capsys.readouterr().err
    assert not (tmp_path / "typo").exists()
