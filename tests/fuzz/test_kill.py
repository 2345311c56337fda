"""Killed at any moment, a command leaves nothing that the next one does not put right.

`make test` tries a few moments of each command, `make fuzz` 60.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from onnx import helper

from quantkit.build.stored_result import CHECKED
from quantkit.bundle.native import Facts, bundle_native
from quantkit.core.files import sha256_file
from tests.build.toy import PARITY, make_workshop
from tests.fuzz.nursery import Nursery
from tests.fuzz.trial import LONG
from tests.quantize.graphs import matrix, save_graph
from tests.runtime.conftest import tiny_artifact

pytestmark = pytest.mark.slow

__all__ = ["tiny_artifact"]

MOMENTS = 60 if LONG else 3
COMMANDS = {
    "build": "build recipe.yaml --store store --out made",
    "bundle": "bundle artifact --format native --out made",
    "calibrate": "calibrate recipe.yaml --store store --out made",
    "quantize": "quantize model.onnx --scheme kquant --out made.onnx",
    "replace": "bundle artifact --format native --out old",
}
TOLD = "quantkit: terminated; give the same command again to go on"


@pytest.fixture(scope="module")
def nursery(tmp_path_factory) -> Iterator[Nursery]:
    nursery = Nursery(tmp_path_factory.mktemp("tmp"))
    yield nursery
    nursery.close()


@pytest.fixture
def shop(tiny_artifact, tmp_path) -> Path:
    """What the commands need."""
    folder, model = make_workshop(tmp_path / "shop"), tmp_path / "model"
    shutil.copytree(tiny_artifact, model)
    (model / "tokenizer.model").write_bytes(b"pieces")
    source = {"name": "toy", "revision": None, "sha256": "5" * 64}
    recipe = {"name": "toy", "model": {"source": "toy.nemo"}}
    product = helper.make_node("MatMul", ["x", "w"], ["y"], "product")
    constants = {"w": matrix(64, 32)}
    save_graph(folder / "model.onnx", [product], {"x": [4, 64]}, ["y"], constants, external=True)
    facts = Facts(recipe, source, {"quantkit": "0"}, PARITY, None, "1" * 64)
    for name in ("artifact", "old"):
        (folder / name).mkdir()
        bundle_native(model, folder / name, replace(facts, key=f"{len(name):064}"))
    return folder


def _tree(folder: Path) -> dict[str, str]:
    """Everything but the empty files that processes lock, and notes of times of change."""
    return {
        str(path.relative_to(folder)): sha256_file(path) if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
        if path.suffix != ".lock" and path.name not in {CHECKED, "said"}
    }


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_killed_at_any_moment(command, how, nursery, shop, tmp_path) -> None:
    words = COMMANDS[command].split()
    done = shutil.copytree(shop, tmp_path / "done")
    whole = nursery.run(done, words)
    assert whole["code"] == 0, whole["said"]
    expected = _tree(done)
    touches = whole["touches"]
    for trial in range(MOMENTS):
        moment = 1 + trial * touches // MOMENTS
        tried = shutil.copytree(shop, tmp_path / f"{trial}")
        ended = nursery.run(tried, words, moment, how)
        what = f"{command} at {moment} of {touches}: {ended['said']}"
        if ended["code"] == 0:  # the number of touches varies, and the last may not come
            assert moment > 0.8 * touches, what
        elif how == signal.SIGTERM:
            assert ended["code"] == 143, what
            assert ended["said"].splitlines()[-1] == TOLD, what
            assert "Traceback" not in ended["said"], what
            assert not [*tried.rglob(".*.partial"), *nursery.temporary.iterdir()], what
        else:
            assert ended["code"] == -signal.SIGKILL, what
        again = nursery.run(tried, words)
        assert again["code"] == 0, again["said"]
        assert _tree(tried) == expected, what
