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

TOKENIZER_FILES = {
    "model_path": "tokenizer.model",
    "vocab_path": "vocab.txt",
    "spe_tokenizer_vocab": "tokenizer.vocab",
}


class StandardizingConv(nn.Module):
    """The first convolution, reading raw log-mel but trained as if mean 0 and deviation 1.

    The statistics are part of its weights, zero padding included, so `folded` gives exactly the
    same function as the plain convolution that NeMo expects.
    """

    def __init__(self, conv: nn.Conv2d, mean: float, deviation: float) -> None:
        super().__init__()
        self.conv, self.mean, self.deviation = conv, mean, deviation
        self.stride = conv.stride
        # Causal in time (and, as NeMo has it, in frequency).
        self.padding = (conv.kernel_size[0] - 1, conv.stride[0] - 1) * 2

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias for raw log-mel."""
        weight = self.conv.weight / self.deviation
        return weight, self.conv.bias - self.mean * weight.sum((1, 2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve a raw log-mel image."""
        weight, bias = self.folded()
        return nn.functional.conv2d(nn.functional.pad(x, self.padding), weight, bias, self.stride)


class FastStem(nn.Sequential):
    """The stem's layers as NeMo runs them, with fewer passes over its large images.

    NeMo multiplies by a full mask before every layer. Frames past a clip's end are read only by
    the next strided convolution, so clearing them once a stage gives the same result. In float32,
    because raw log-mel loses too much in bfloat16 (and CPUs convolve it no faster).
    """

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Sub-sample (batch, time, mels); frames past `lengths` must be zero."""
        x = x[:, None]
        with torch.autocast(x.device.type, enabled=False):
            for layer in self:
                if isinstance(layer, nn.ReLU):
                    past = torch.arange(x.shape[2], device=x.device) >= lengths[:, None]
                    x = x.masked_fill_(past[:, None, :, None], 0.0)
                x = layer(x)
                if getattr(layer, "stride", None) == (2, 2):
                    lengths = lengths // 2 + 1
        return x, lengths


def build(config: dict[str, Any], tokenizer: Path, mean: float, deviation: float) -> nn.Module:
    """A fresh NeMo model whose stem standardizes its input."""
    settings = OmegaConf.create(config["model"])
    settings.tokenizer.dir = str(tokenizer)
    model = EncDecRNNTBPEModel(cfg=settings)
    first, *rest = model.encoder.pre_encode.conv
    model.encoder.pre_encode.conv = FastStem(StandardizingConv(first, mean, deviation), *rest)
    return model


@torch.no_grad()
def unit_variance(model: nn.Module, mel: Tensor, lengths: Tensor) -> None:
    """Scale each layer of the stem, first to last, so that its output has deviation 1.

    With the default initialisation the signal all but vanishes in the stem's six layers.
    """
    stem = model.encoder.pre_encode
    layers = [*(layer for layer in stem.conv.modules() if isinstance(layer, nn.Conv2d)), stem.out]
    outer = {id(layer.conv): layer for layer in stem.conv if isinstance(layer, StandardizingConv)}
    for layer in layers:
        deviations: list[Tensor] = []

        def note(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            deviations.append(output.std())  # noqa: B023 - at once: the next layer overwrites it

        hook = outer.get(id(layer), layer).register_forward_hook(note)
        layer.bias.zero_()
        stem(mel.transpose(1, 2), lengths)
        layer.weight /= deviations[0]
        hook.remove()


def plain_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights of the same function as a model that NeMo builds by itself."""
    first = "encoder.pre_encode.conv.0."
    weights = model.state_dict()
    weights[f"{first}weight"], weights[f"{first}bias"] = model.encoder.pre_encode.conv[0].folded()
    return {
        name: value.detach()
        for name, value in weights.items()
        if not name.startswith(f"{first}conv.")
    }


def export(model: nn.Module, tokenizer: Path, path: Path) -> None:
    """Write a `.nemo` with half-precision weights that is the same wherever it is written.

    The front end's window and filters stay in float32: NeMo restores what the file holds, and
    they are constants that every runtime computes for itself.
    """
    weights = {
        name: value.cpu() if name.startswith("preprocessor.") else value.half().cpu()
        for name, value in plain_weights(model).items()
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
