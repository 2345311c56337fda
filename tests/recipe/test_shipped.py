"""Every recipe that ships is valid and what its name says."""

from pathlib import Path

import pytest

from quantkit.quantize.settings import Int8DynamicSettings, OliveSettings, OrtDynamicSettings
from quantkit.quantize.widths.settings import MixedSettings
from quantkit.recipe.load import load_recipe
from quantkit.recipe.schema import QuantizeSettings
from quantkit.recipe.source import DemoSource, HubSource, parse_source
from quantkit.speech.manifest import read_manifest

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
SCHEMES = [
    "fp32",
    "int4-rtn",
    "int8-rtn",
    "int8-kquant",
    "int4-kquant",
    "int4-gptq",
    "int4-olive-kquant",
    "int4-olive-rtn",
    "int8-dynamic",
    "int8-ort-dynamic",
    "mixed-published",
    "mixed-budget",
]


def test_both_families_have_every_scheme() -> None:
    names = {path.stem for path in RECIPES}
    assert names >= {f"{family}-{scheme}" for family in ("demo", "nemotron") for scheme in SCHEMES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe(path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    source = parse_source(recipe.model.source)
    if path.stem.startswith("nemotron"):
        assert isinstance(source, HubSource)
        assert len(source.revision) == 40, "a commit, because branches move"
    else:
        assert isinstance(source, DemoSource)
    if recipe.calibrate is not None:
        assert recipe.calibrate.manifest == "calibration/manifest.jsonl"
    utterances = read_manifest(ROOT / recipe.verify.manifest)
    assert all(utterance.text for utterance in utterances)
    if recipe.quantize is None:
        assert recipe.verify.gates.token_exact_utterances == 1.0
    else:
        family = recipe.name.split("-")[0]
        assert recipe.name.startswith(f"{family}-{_label(recipe.quantize)}")


def _label(settings: QuantizeSettings) -> str:
    match settings:
        case Int8DynamicSettings():
            return settings.scheme
        case OrtDynamicSettings():
            return "int8-ort-dynamic"
        case OliveSettings():
            return f"int{settings.bits}-olive-{settings.algorithm}"
        case MixedSettings():
            return f"mixed-{settings.widths.by}"
        case _:
            return f"int{settings.bits}-{settings.scheme}"


def test_canonical_spells_out_defaults_and_reads_back(tmp_path) -> None:
    recipe = load_recipe(ROOT / "recipes" / "demo-int4-kquant.yaml")
    canonical = recipe.canonical()
    assert canonical["schema"] == 1
    assert canonical["quantize"]["exclude"] == []
    assert type(recipe).model_validate(canonical, strict=False) == recipe
