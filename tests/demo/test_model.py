"""Training's faster stem is NeMo's stem, and the exported file tells nothing of its machine."""

import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from nemo.collections.asr.models import EncDecRNNTBPEModel
from torch import Tensor

from demo import config as settings
from demo.model import build, export, plain_weights, unit_variance
from demo.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    letters = "abcdefghijklmnopqrstuvwxyz"
    texts = [" ".join(a + b + c for c in letters) for a in letters for b in letters]
    train_tokenizer(texts, settings.load()["tokenizer"]["pieces"], folder)
    return folder


@pytest.fixture(scope="module")
def model(tokenizer: Path) -> Any:
    return build(settings.load(), tokenizer, mean=-11.0, deviation=4.3).eval()


@pytest.fixture(scope="module")
def mel() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    lengths = torch.tensor([301, 296, 100, 33, 7])
    mel = torch.randn(len(lengths), 128, int(lengths.max())) * 4 - 11
    return mel.masked_fill(torch.arange(mel.shape[2]) >= lengths[:, None, None], 0.0), lengths


def test_stem_is_nemos(model: Any, mel: tuple[Tensor, Tensor]) -> None:
    plain = EncDecRNNTBPEModel(cfg=model.cfg).eval()
    plain.load_state_dict(plain_weights(model))
    with torch.inference_mode():
        ours, our_lengths = model.encoder(audio_signal=mel[0], length=mel[1])
        nemos, nemo_lengths = plain.encoder(audio_signal=mel[0], length=mel[1])
    assert our_lengths.tolist() == nemo_lengths.tolist()
    for row, expected, length in zip(ours, nemos, our_lengths, strict=True):
        torch.testing.assert_close(row[:, :length], expected[:, :length], atol=1e-5, rtol=1e-5)


def test_unit_variance(model: Any, mel: tuple[Tensor, Tensor]) -> None:
    unit_variance(model, *mel)
    with torch.inference_mode():
        stem, _ = model.encoder.pre_encode(mel[0].mT, mel[1])
    assert stem.std() == pytest.approx(1.0, abs=0.05)


def test_export_loads_and_is_reproducible(model: Any, tokenizer: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "a.nemo", tmp_path / "b.nemo"]
    for path in paths:
        export(model, tokenizer, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert str(tmp_path.parent.parent).encode() not in paths[0].read_bytes()
    with tarfile.open(paths[0]) as archive:
        assert {member.mtime for member in archive} == {0}
    restored = EncDecRNNTBPEModel.restore_from(str(paths[0]), map_location="cpu")
    for name, value in plain_weights(model).items():
        half = value if name.startswith("preprocessor.") else value.half().float()
        torch.testing.assert_close(restored.state_dict()[name], half, atol=0, rtol=0)
