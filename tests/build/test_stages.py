from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from quantkit.build.checkpoint import Checkpoint
from quantkit.build.stages import chain
from quantkit.recipe.load import load_recipe

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("scheme", "own"),
    [
        ("int4-rtn", {"numba"}),
        ("int4-olive-kquant", {"olive-ai"}),
        ("int8-dynamic", {"numba"}),
        ("int8-ort-dynamic", set()),
    ],
)
def test_the_key_of_a_scheme_has_the_libraries_that_decide_its_bytes(
    monkeypatch: pytest.MonkeyPatch, scheme: str, own: set[str]
) -> None:
    monkeypatch.chdir(ROOT)
    recipe = load_recipe(ROOT / "recipes" / f"demo-{scheme}.yaml")
    stages = chain(recipe, Checkpoint(Path("demo.nemo"), "demo", None, "0" * 64))
    (stage,) = (stage for stage in stages if stage.name == "quantize")
    shared = {"onnx", "onnx-ir", "onnxscript", "numpy", "onnxruntime"}
    assert stage.libraries == {name: importlib.metadata.version(name) for name in shared | own}
