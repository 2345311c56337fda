"""Training's faster encoder is NeMo's; the exported file tells nothing of its machine."""

import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from nemo.collections.asr.models import EncDecRNNTBPEModel
from torch import Tensor

from demo import config as settings
from demo.model import between, build, export, plain_weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tokenizer: Path) -> Any:
    return build(settings.load(), tokenizer, mean=-11.0, deviation=4.3).eval()


@pytest.fixture(scope="module")
def mel() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    lengths = torch.tensor([301, 296, 100, 33, 7])
    mel = torch.randn(len(lengths), 128, int(lengths.max())) * 4 - 11
    return mel.masked_fill(torch.arange(mel.shape[2]) >= lengths[:, None, None], 0.0), lengths


def test_encoder_is_nemos(model: Any, mel: tuple[Tensor, Tensor]) -> None:
    plain = EncDecRNNTBPEModel(cfg=model.cfg).eval()
    plain.load_state_dict(plain_weights(model))
    with torch.inference_mode():
        ours, our_lengths = model.encoder(audio_signal=mel[0], length=mel[1])
        nemos, nemo_lengths = plain.encoder(audio_signal=mel[0], length=mel[1])
    assert our_lengths.tolist() == nemo_lengths.tolist()
    for row, expected, length in zip(ours, nemos, our_lengths, strict=True):
        torch.testing.assert_close(row[:, :length], expected[:, :length], atol=1e-5, rtol=1e-5)


def test_gradients_are_nemos(model: Any, mel: tuple[Tensor, Tensor]) -> None:
    plain = EncDecRNNTBPEModel(cfg=model.cfg).eval()
    plain.load_state_dict(plain_weights(model))
    torch.manual_seed(1)
    gradients = []
    for encoder in (model.encoder, plain.encoder):
        encoder.zero_grad()
        encoded, lengths = encoder(audio_signal=mel[0], length=mel[1])
        inside = torch.arange(encoded.shape[2]) < lengths[:, None]
        weight = torch.rand(encoded.shape, generator=torch.Generator().manual_seed(2))
        (encoded * weight * inside[:, None]).sum().backward()
        gradients.append({name: p.grad for name, p in encoder.named_parameters()})
    ours, nemos = gradients
    # Ours learns a first convolution for standardized input: the chain rule through `plain`.
    stem, first = model.encoder.pre_encode, "pre_encode.conv.0."
    shift = stem.mean * nemos[f"{first}bias"][:, None, None, None]
    nemos[f"{first}weight"] = (nemos[f"{first}weight"] - shift) / stem.deviation
    for name, gradient in ours.items():
        scale = float(nemos[name].abs().max())
        torch.testing.assert_close(gradient, nemos[name], atol=2e-4 * scale, rtol=1e-3, msg=name)


def test_export_loads_and_is_reproducible(model: Any, tokenizer: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "a.nemo", tmp_path / "b.nemo"]
    for path in paths:
        export(model, plain_weights(model), tokenizer, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert str(tmp_path.parent.parent).encode() not in paths[0].read_bytes()
    with tarfile.open(paths[0]) as archive:
        assert {member.mtime for member in archive} == {0}
    restored = EncDecRNNTBPEModel.restore_from(str(paths[0]), map_location="cpu")
    for name, value in plain_weights(model).items():
        half = value if name.startswith("preprocessor.") else value.half().float()
        torch.testing.assert_close(restored.state_dict()[name], half, atol=0, rtol=0)


def test_between_two_checkpoints(model: Any) -> None:
    last = plain_weights(model)
    first = {
        name: value + (0 if name.startswith("preprocessor.") else 1) for name, value in last.items()
    }
    mean = between(first, last, 0.4)
    for name, value in last.items():
        if name.startswith("preprocessor."):  # constants stay what they are, to the bit
            torch.testing.assert_close(mean[name], value, atol=0, rtol=0)
        else:
            torch.testing.assert_close(mean[name], value + 0.4, atol=1e-6, rtol=1e-5)
