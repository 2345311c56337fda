"""Widths per tensor: where they come from and where they end up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from quantkit.core.errors import InputError, SettingError
from quantkit.core.progress import Silent
from quantkit.graph.files import load_model
from quantkit.quantize.graphs import quantize_model
from quantkit.quantize.inventory import Inventory
from quantkit.quantize.settings import BlockScheme
from quantkit.quantize.widths.measured import SENSITIVITY
from quantkit.quantize.widths.mixed import published_rules, resolve
from quantkit.quantize.widths.selection import select
from quantkit.quantize.widths.settings import BudgetWidths, MixedSettings
from quantkit.recipe.schema import QuantizeSettings
from tests.quantize.graphs import two_layers

CHOICES = [{"bits": 4, "block_size": 32}, {"bits": 8, "block_size": 32}]
NAMES = [f"{graph}/{name}.weight" for graph in ("encoder", "joint") for name in ("first", "second")]
# Codes, scales and zero points of [40, 24] and [24, 9] in blocks of 32.
SIZES = {"first": (24 * 2 * 16 + 24 * 2 * 4 + 24, 24 * 64 + 24 * 8 + 24 * 2),
         "second": (9 * 16 + 9 * 4 + 9, 9 * 32 + 9 * 4 + 9)}  # fmt: skip
BIASES = 2 * 9 * 4


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    directory.mkdir()
    for name in ("encoder", "joint"):
        two_layers(directory / f"{name}.onnx")
    return directory


@pytest.fixture
def sensitivity(tmp_path: Path) -> Path:
    """Measurements that say: the joint's tensors hurt, the encoder's hardly."""
    tensors = [
        {
            "name": name,
            "shape": [40, 24],
            "parameters": 960,
            "choices": [
                {
                    **width,
                    "bytes": SIZES[name.partition("/")[2].partition(".")[0]][index],
                    "relative_error": 0.1,
                    "kl_mean": (1e-2 if name.startswith("joint") else 1e-5) / 100**index,
                    "kl_p99": 0.1,
                    "flips": 0.0,
                }
                for index, width in enumerate(CHOICES)
            ],
        }
        for name in NAMES
    ]
    measured = {"scheme": {}, "utterances": 1, "decisions": 1, "reference": {}, "tensors": tensors}
    (tmp_path / SENSITIVITY).write_text(json.dumps(measured))
    return tmp_path


def mixed(widths: dict[str, Any], **base: Any) -> MixedSettings:
    return MixedSettings.model_validate({"base": {"scheme": "rtn", **base}, "widths": widths})


def stored_widths(out: Path) -> dict[str, tuple[int, int | None]]:
    graphs = json.loads((out / "quantize.json").read_text())["graphs"]
    return {
        f"{graph}/{tensor['name']}": (tensor["bits"], tensor["block_size"])
        for graph, report in graphs.items()
        for tensor in report["tensors"]
        if tensor["block_size"] is not None
    }


def quantize(
    model: Path, out: Path, settings: MixedSettings, sensitivity: Path | None = None
) -> None:
    out.mkdir()
    quantize_model(model, None, settings, out, Silent(), sensitivity)


def test_rules_set_widths_and_the_rest_keeps_the_base(model: Path, tmp_path: Path) -> None:
    rules = [{"match": "joint/first*", "bits": 8}, {"match": "joint/*", "block_size": 16}]
    settings = mixed({"by": "rules", "rules": rules}, bits=4, block_size=64)
    quantize(model, tmp_path / "out", settings)
    assert stored_widths(tmp_path / "out") == {
        "encoder/first.weight": (4, 64),
        "encoder/second.weight": (4, 64),
        "joint/first.weight": (8, 64),
        "joint/second.weight": (4, 16),
    }
    assert not (tmp_path / "out" / "allocation.json").exists()


def test_a_budget_goes_where_the_damage_is(model: Path, sensitivity: Path, tmp_path: Path) -> None:
    small = 2 * (SIZES["first"][0] + SIZES["second"][0]) + BIASES
    large = SIZES["first"][1] + SIZES["second"][1] - SIZES["first"][0] - SIZES["second"][0]
    widths = {"by": "budget", "megabytes": (small + large) / 1e6, "choices": CHOICES}
    out = tmp_path / "out"
    quantize(model, out, mixed(widths), sensitivity)
    assert stored_widths(out) == {
        name: (8 if name.startswith("joint") else 4, 32) for name in NAMES
    }
    allocation = json.loads((out / "allocation.json").read_text())
    assert allocation["bytes"] == allocation["budget_bytes"] == small + large
    assert allocation["kept_bytes"] == BIASES
    assert allocation["kl_sum"] == pytest.approx(2 * 1e-5 + 2 * 1e-4)
    assert allocation["gap"] == pytest.approx(0, abs=1e-9)
    graphs = json.loads((out / "quantize.json").read_text())["graphs"].values()
    stored = sum(tensor["bytes"] for graph in graphs for tensor in graph["tensors"])
    assert stored == allocation["bytes"], "what was promised is what is stored"
    parameters = sum(graph["parameters"] for graph in graphs)
    assert allocation["bits_per_weight"] == pytest.approx(8 * stored / parameters)


def test_bits_per_weight_count_what_stays_in_float(
    model: Path, sensitivity: Path, tmp_path: Path
) -> None:
    widths = {"by": "budget", "bits_per_weight": 20.0, "choices": CHOICES}
    out = tmp_path / "out"
    quantize(model, out, mixed(widths, exclude=["joint/first*"]), sensitivity)
    allocation = json.loads((out / "allocation.json").read_text())
    assert {one["name"] for one in allocation["tensors"]} == {*NAMES} - {"joint/first.weight"}
    assert allocation["kept_bytes"] == BIASES + 40 * 24 * 4
    assert allocation["bits_per_weight"] <= 20


@pytest.mark.parametrize(
    ("key", "small", "accepted"), [("megabytes", 0.001, "0.003"), ("bits_per_weight", 4, "8.163")]
)
def test_an_impossible_budget_says_what_is_possible(
    model: Path, sensitivity: Path, key: str, small: float, accepted: str
) -> None:
    def attempt(value: float) -> None:
        widths = {"by": "budget", key: value, "choices": CHOICES}
        graphs = {path.stem: load_model(path) for path in model.glob("*.onnx")}
        resolve(mixed(widths), graphs, sensitivity)

    told = rf"^quantize\.widths\.{key}: found {small}, accepted: at least {accepted}, "
    with pytest.raises(SettingError, match=told):
        attempt(small)
    attempt(float(accepted))


def test_a_tensor_without_measurements_is_named(model: Path, sensitivity: Path) -> None:
    choices = [*CHOICES, {"bits": 4, "block_size": 64}]
    graphs = {path.stem: load_model(path) for path in model.glob("*.onnx")}
    settings = mixed({"by": "budget", "megabytes": 1, "choices": choices})
    told = "'encoder/first.weight' has no measured damage at 4 bits in blocks of 64"
    with pytest.raises(InputError, match=told):
        resolve(settings, graphs, sensitivity)
    with pytest.raises(InputError, match="needs measured sensitivities"):
        resolve(settings, graphs, None)
    with pytest.raises(InputError, match=r"sensitivity\.json: cannot be read"):
        resolve(settings, graphs, model)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (
            mixed({"by": "rules", "rules": [{"match": "decoder/*", "bits": 8}]}),
            r"quantize\.widths\.rules\[0\]\.match",
        ),
        (
            mixed({"by": "published"}, exclude=["joint/*", "decoder/*"]),
            r"quantize\.base\.exclude\[1\]",
        ),
        (mixed({"by": "published"}), r"quantize\.widths\.by: found 'published'"),
    ],
)
def test_errors_name_the_key_of_the_recipe(model: Path, settings: MixedSettings, key: str) -> None:
    graphs = {path.stem: load_model(path) for path in model.glob("*.onnx")}
    with pytest.raises(SettingError, match=f"^{key}"):
        resolve(settings, graphs, None)


def test_published_widths() -> None:
    layers = [f"encoder/layers.{n}.{x}.weight" for n in range(4) for x in ("self_attn.out", "ff")]
    names = ["encoder/stem.out.weight", *layers, "predictor/cells.0.weight", "joint/out.weight"]
    rules = published_rules(names)
    settings = mixed({"by": "published"}).base.model_copy(update={"rules": rules})
    chosen = select(names, settings)
    widths = {n: own.bits for n, own in chosen.items() if isinstance(own, BlockScheme)}
    four = {"encoder/layers.1.ff.weight", "encoder/layers.2.ff.weight"}
    assert widths == {name: 4 if name in four else 8 for name in names}


@pytest.mark.parametrize("level", [1, 4])
def test_two_bits_only_where_there_is_a_kernel(level: int) -> None:
    two = [{"bits": 2, "block_size": size} for size in (32, 64, 128)]
    for choices in ([*two, {"bits": 2, "block_size": 256}], two):
        for widths in (
            {"by": "budget", "megabytes": 5, "choices": choices},
            {"by": "rules", "rules": [{"match": "*", **choice} for choice in choices]},
        ):
            if level == 4 and choices is two:
                mixed(widths, accuracy_level=level)
                continue
            with pytest.raises(ValidationError) as caught:
                mixed(widths, accuracy_level=level)
            wrong = {error["loc"][-1] for error in caught.value.errors()}
            assert wrong == ({3} if level == 4 else set(range(len(choices))))


def test_the_inventory_counts_every_float(model: Path) -> None:
    graphs = {path.stem: load_model(path) for path in model.glob("*.onnx")}
    inventory = Inventory.of(graphs)
    assert inventory.parameters == 2 * (40 * 24 + 24 * 9 + 9)
    assert inventory.bytes == 4 * inventory.parameters
    assert inventory.kept(NAMES) == BIASES


def test_the_scheme_is_one_of_the_recipe_s(model: Path) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(QuantizeSettings)
    read = adapter.validate_python(
        {
            "scheme": "mixed",
            "base": {"scheme": "kquant", "importance": "activation"},
            "widths": {"by": "budget", "megabytes": 5},
        }
    )
    assert isinstance(read, MixedSettings)
    assert isinstance(read.widths, BudgetWidths)
    assert (read.needs_activations, read.needs_hessians, read.needs_sensitivity) == (
        True,
        False,
        True,
    )
    assert read.choices == read.widths.choices
    assert not mixed({"by": "published"}).needs_sensitivity
