"""A grown model starts as the checkpoint that it grew from."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from demo import config as settings
from demo.grow import grow
from demo.initial import initial_checkpoint, read_weights
from demo.model import build, plain_weights

pytestmark = pytest.mark.slow


def model_of(layers: int, tokenizer: Path) -> Any:
    config = copy.deepcopy(settings.load())
    config["model"]["encoder"]["n_layers"] = layers
    return build(config, tokenizer, mean=-10.5, deviation=4.2).eval()


@pytest.fixture(scope="module")
def shipped() -> dict[str, Tensor]:
    return read_weights(settings.HERE / "demo.nemo")


@pytest.fixture(scope="module")
def depth(shipped: dict[str, Tensor]) -> int:
    return 1 + max(int(name.split(".")[2]) for name in shipped if ".layers." in name)


def test_same_depth_is_the_same_model(
    shipped: dict[str, Tensor], depth: int, tokenizer: Path
) -> None:
    model = model_of(depth, tokenizer)
    grow(model, shipped, list(range(depth)))
    for name, value in plain_weights(model).items():
        torch.testing.assert_close(value, shipped[name], atol=1e-5, rtol=1e-5, msg=name)


def test_second_copies_add_next_to_nothing(
    shipped: dict[str, Tensor], depth: int, tokenizer: Path
) -> None:
    plain, deeper = model_of(depth, tokenizer), model_of(depth + 2, tokenizer)
    grow(plain, shipped, list(range(depth)))
    grow(deeper, shipped, sorted([*range(depth), 1, depth - 1]))
    torch.manual_seed(0)
    mel = torch.randn(2, 128, 400).cumsum(2) * 0.3 - 10
    with torch.inference_mode():
        expected, found = (
            model.encoder(audio_signal=mel, length=torch.tensor([400, 300]))[0][:, :, :38]
            for model in (plain, deeper)
        )
    likeness = torch.nn.functional.cosine_similarity(expected, found, dim=1)
    assert likeness.mean() > 0.98


def test_names_weights_without_counterpart(
    shipped: dict[str, Tensor], depth: int, tokenizer: Path
) -> None:
    with pytest.raises(ValueError, match=f"encoder.layers.{depth}.conv"):
        grow(model_of(depth + 1, tokenizer), shipped, list(range(depth)))


def test_initial_checkpoint_is_checked(tmp_path: Path) -> None:
    initial = settings.load()["training"]["initial"]
    path = tmp_path / f"initial-{initial['sha256'][:12]}.nemo"
    path.write_bytes(b"another file")
    with pytest.raises(ValueError, match=r"training\.initial\.sha256"):
        initial_checkpoint(settings.load(), tmp_path)
