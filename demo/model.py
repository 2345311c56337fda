"""The demo model in NeMo: built from the configuration, started well, saved without traces."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import torch
import yaml
from nemo.collections.asr.models import EncDecRNNTBPEModel
from omegaconf import OmegaConf
from torch import Tensor, nn

from demo.stem import Stem

TOKENIZER_FILES = {
    "model_path": "tokenizer.model",
    "vocab_path": "vocab.txt",
    "spe_tokenizer_vocab": "tokenizer.vocab",
}


class Convolution(nn.Module):
    """NeMo's convolution module, channels last throughout.

    Its padding mask is left out: the convolution is causal and the padding behind the clip.
    """

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.pointwise_conv1, self.pointwise_conv2 = conv.pointwise_conv1, conv.pointwise_conv2
        self.depthwise_conv, self.batch_norm = conv.depthwise_conv, conv.batch_norm

    def forward(self, x: Tensor, **_: object) -> Tensor:
        """Convolve (batch, frames, width); NeMo's mask and cache are not needed."""
        depthwise = self.depthwise_conv.weight
        x = nn.functional.linear(x, self.pointwise_conv1.weight[:, :, 0])
        x = nn.functional.glu(x).float()
        x = nn.functional.pad(x, (0, 0, depthwise.shape[2] - 1, 0))
        with torch.autocast(x.device.type, enabled=False):
            image = x[:, None].permute(0, 3, 1, 2)
            if x.is_cuda:  # for PyTorch's own depthwise kernels, not cuDNN's
                image = image.contiguous()
            image = nn.functional.conv2d(image, depthwise[:, :, None], groups=len(depthwise))
        x = nn.functional.silu(self.batch_norm(image.permute(0, 2, 3, 1)[:, 0]))
        return nn.functional.linear(x, self.pointwise_conv2.weight[:, :, 0])


def build(config: dict[str, Any], tokenizer: Path, mean: float, deviation: float) -> nn.Module:
    """A fresh NeMo model whose stem standardizes its input."""
    settings = OmegaConf.create(config["model"])
    settings.tokenizer.dir = str(tokenizer)
    model = EncDecRNNTBPEModel(cfg=settings)
    model.encoder.pre_encode = Stem(model.encoder.pre_encode, mean, deviation)
    for layer in model.encoder.layers:
        layer.conv = Convolution(layer.conv)
    return model


def plain_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights of the same function as a model that NeMo builds by itself."""
    first = "encoder.pre_encode.conv.0."
    weights = model.state_dict()
    weights[f"{first}weight"], weights[f"{first}bias"] = model.encoder.pre_encode.plain()
    return {name: value.detach().cpu().clone() for name, value in weights.items()}


def between(first: dict[str, Tensor], last: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """`share` of the first weights and the rest of the last, on the line between them.

    Where a training starts from an earlier one, that errs less than either on voices that the
    training lacks: Wortsman et al., Robust fine-tuning of zero-shot models, arXiv 2109.01903.
    """
    return {name: torch.lerp(last[name], first[name], share) for name in last}


def export(model: nn.Module, weights: dict[str, Tensor], tokenizer: Path, path: Path) -> None:
    """Write a `.nemo` with half-precision weights that is the same wherever it is written.

    The front end's window and filters stay in float32: NeMo restores what the file holds, and
    they are constants that every runtime computes for itself.
    """
    weights = {
        name: value if name.startswith("preprocessor.") else value.half()
        for name, value in weights.items()
    }
    buffer = io.BytesIO()
    torch.save(weights, buffer)

    settings = OmegaConf.to_container(model.cfg, resolve=True)
    settings["tokenizer"] = {"dir": "tokenizer", "type": "bpe"}
    settings["tokenizer"] |= {key: f"nemo:{name}" for key, name in TOKENIZER_FILES.items()}
    files = {name: (tokenizer / name).read_bytes() for name in TOKENIZER_FILES.values()}
    files["model_config.yaml"] = yaml.safe_dump(settings, sort_keys=False).encode()
    files["model_weights.ckpt"] = buffer.getvalue()
    partial = path.with_suffix(".part")
    with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.uname, member.gname = len(files[name]), "root", "root"
            archive.addfile(member, io.BytesIO(files[name]))
    partial.rename(path)
