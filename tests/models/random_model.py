"""Make a NeMo streaming transducer of any size with seeded random weights.

`python -m tests.models.random_model --out FILE.nemo` writes one of Nemotron's size. The weights
say nothing about speech, but speed, memory and exactness do not ask. They are random in a way that
hides nothing: every stage passes its signal on, attention is not uniform, no bias is 0, no norm
weight is 1, and speech gives both tokens and blanks, if many more tokens, and in longer bursts,
than a trained model's. `--blank-bias` makes them fewer.
"""

from __future__ import annotations

import argparse
import io
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from nemo.collections.asr.models import EncDecHybridRNNTCTCBPEModel, EncDecRNNTBPEModel
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn import functional

from quantkit.core.files import PARTIAL, scratch_directory, temporary_directory
from quantkit.nemo.loading.checkpoint import nemo_errors_only
from tests.models.pieces import (
    MODEL,
    SCORES,
    VOCABULARY,
    tokenizer_files,
    tokenizer_model,
    write_tokenizer,
)
from tests.models.shape import SHAPES, ModelShape, nemo_config

BABBLE_S, PAUSE_SHARE = 8, 0.2
TOKEN_SHARE = 0.25
# Trained LSTMs answer to their input far more than PyTorch's initial ones.
LSTM_GAIN = 8.0
# Degrees of freedom of heavy-tailed weights: an excess kurtosis of 6.
TAIL_FREEDOM = 5.0
# Deviation of the logarithm of their norms' gains: channels differ as the trained demo model's do.
GAIN_SPREAD = 0.22
# The blank's bias is searched for in -BLANK_RANGE..BLANK_RANGE.
BLANK_RANGE, BISECTIONS = 64.0, 12


def build_model(
    shape: ModelShape,
    seed: int = 0,
    overrides: Mapping[str, Any] | None = None,
    *,
    heavy_tails: bool = False,
    blank_bias: float = 0.0,
) -> EncDecRNNTBPEModel:
    """A model of the shape with random weights, on the CPU, frozen and in evaluation mode.

    Args:
        shape: the sizes.
        seed: of the weights; the tokenizer depends on the number of pieces only.
        overrides: values put over NeMo's configuration by dotted key, as `encoder.xscaling`.
        heavy_tails: draw matrices from Student's t with TAIL_FREEDOM degrees of freedom instead of
            a uniform distribution, and let channels differ in size, so that weights and activations
            have outliers.
        blank_bias: added to the logit of the blank.
    """
    config = OmegaConf.create(nemo_config(shape))
    for key, value in (overrides or {}).items():
        OmegaConf.update(config, key, value)
    kind = EncDecHybridRNNTCTCBPEModel if shape.hybrid else EncDecRNNTBPEModel
    with (
        temporary_directory() as folder,
        torch.random.fork_rng(devices=[]),
        torch.no_grad(),
        nemo_errors_only(),
    ):
        write_tokenizer(tokenizer_model(shape.pieces), folder)
        config.tokenizer = {"dir": str(folder), "type": "bpe"}
        torch.manual_seed(seed)
        model = kind(cfg=config)
        model.eval()
        model.freeze()
        _enliven(model, heavy_tails=heavy_tails)
        model.joint.joint_net[-1].bias[-1] += blank_bias
    return model


def save_model(model: EncDecRNNTBPEModel, path: Path) -> None:
    """Write a `.nemo` that is the same, and names no directory, wherever it is written."""
    files = tokenizer_files(model.tokenizer.tokenizer.serialized_model_proto())
    settings = OmegaConf.create(OmegaConf.to_container(model.cfg, resolve=True))
    tokenizer = {
        "dir": "tokenizer",
        "type": "bpe",
        "model_path": f"nemo:{MODEL}",
        "vocab_path": f"nemo:{VOCABULARY}",
        "spe_tokenizer_vocab": f"nemo:{SCORES}",
    }
    OmegaConf.update(settings, "tokenizer", tokenizer, merge=False)
    files["model_config.yaml"] = OmegaConf.to_yaml(settings).encode()
    with scratch_directory(path.with_name(f".{path.name}.work{PARTIAL}")) as folder:
        weights = folder / "model_weights.ckpt"
        torch.save({name: value.detach() for name, value in model.state_dict().items()}, weights)
        partial = folder / path.name
        with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as archive:
            for name, content in sorted(files.items()):
                archive.addfile(_member(name, len(content)), io.BytesIO(content))
            with weights.open("rb") as stream:
                archive.addfile(_member(weights.name, weights.stat().st_size), stream)
        partial.replace(path)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.uname, member.gname = size, "root", "root"
    return member


def _enliven(model: EncDecRNNTBPEModel, *, heavy_tails: bool) -> None:
    """Change PyTorch's initial weights so that no mistake downstream can hide in them."""
    for name, parameter in model.named_parameters():
        if "pos_bias" in name:
            parameter.normal_(0.0, 0.1)
    for module in model.encoder.modules():
        _enliven_module(module, heavy_tails=heavy_tails)
    for name, parameter in model.decoder.prediction["dec_rnn"].lstm.named_parameters():
        if name.startswith("weight"):
            parameter.mul_(LSTM_GAIN)
    audio = _babble()
    mel, lengths = model.preprocessor(input_signal=audio, length=torch.tensor([audio.shape[1]]))
    _scale_stem(model.encoder.pre_encode, mel.transpose(1, 2), lengths)
    _balance_joint(model, *model.encoder(audio_signal=mel, length=lengths))


def _enliven_module(module: nn.Module, *, heavy_tails: bool) -> None:
    if isinstance(module, nn.LayerNorm | nn.BatchNorm1d):
        module.weight.normal_(1.0, 0.1)
        module.bias.normal_(0.0, 0.1)
        if heavy_tails:
            module.weight.log_normal_(0.0, GAIN_SPREAD)
    if isinstance(module, nn.BatchNorm1d):
        module.running_mean.normal_(0.0, 0.1)
        module.running_var.uniform_(0.5, 1.5)
    if isinstance(module, nn.Linear | nn.Conv1d):
        # PyTorch draws weights that shrink a signal by sqrt(3) at every layer.
        module.weight.mul_(3**0.5)
        if heavy_tails:
            _draw_heavy_tailed(module.weight)


def _draw_heavy_tailed(weight: Tensor) -> None:
    """Draw a weight anew from Student's t, its deviation as it was."""
    deviation = weight.std()
    drawn = torch.distributions.StudentT(TAIL_FREEDOM).sample(weight.shape)
    weight.copy_(drawn * (deviation / (TAIL_FREEDOM / (TAIL_FREEDOM - 2)) ** 0.5))


def _babble() -> Tensor:
    """Audio [1, samples] with the ups and downs of speech: voiced, in syllables, with pauses."""
    frames = BABBLE_S * 100
    syllables, bands = BABBLE_S * 5, 12
    gains = torch.randn(1, 1, bands, syllables) * 1.0 + torch.randn(syllables) * 0.8
    gains -= torch.linspace(0.0, 3.0, bands)[:, None]
    gains[..., torch.rand(syllables) < PAUSE_SHARE] -= 6.0
    gains = functional.interpolate(gains, (257, frames), mode="bilinear")[0].exp()
    pitch = functional.interpolate(
        90 + 120 * torch.rand(1, 1, syllables), frames * 160, mode="linear"
    )
    phase = (pitch[0] / 16000).cumsum(1) % 1.0
    source = (phase - 0.5) + 0.2 * torch.randn(phase.shape)
    window = torch.hann_window(512)
    spectrum = torch.stft(source, 512, 160, window=window, return_complex=True)[..., :frames]
    audio = torch.istft(spectrum * gains, 512, 160, window=window)
    return 0.1 * audio / audio.std()


def _scale_stem(stem: nn.Module, mel: Tensor, lengths: Tensor) -> None:
    """Give every layer's output deviation 1 on log-mel [1, frames, mels].

    The first convolution, reading log-mel with its large mean, would otherwise see only that.
    """
    convolutions = (module for module in stem.conv.modules() if isinstance(module, nn.Conv2d))
    layers = [*convolutions, stem.out]
    for index, layer in enumerate(layers):
        seen: list[Tensor] = []
        hook = layer.register_forward_hook(lambda _m, _i, output, seen=seen: seen.append(output))
        if index == 0:
            layer.bias -= mel.mean() * layer.weight.sum((1, 2, 3))
        stem(mel, lengths)
        hook.remove()
        deviation = seen[0].std()
        layer.weight /= deviation
        layer.bias /= deviation


def _balance_joint(model: EncDecRNNTBPEModel, encoded: Tensor, lengths: Tensor) -> None:
    """Let tokens depend on frames and on earlier tokens, and come at a plausible rate.

    `encoded` [1, width, frames] is what the encoder makes of speech, or what resembles it.
    """
    joint, decoder = model.joint, model.decoder
    tokens = torch.randint(0, decoder.vocab_size, (1, encoded.shape[2]))
    predicted, _ = decoder.predict(tokens, None, add_sos=False)
    for half, signal in ((joint.enc, encoded.transpose(1, 2)), (joint.pred, predicted)):
        projected = half(signal)[0]
        factor = 1 / projected.std(0).mean()
        half.bias.sub_(projected.mean(0)).mul_(factor)
        half.weight *= factor
    blank = joint.joint_net[-1].bias[-1:]
    low, high = -BLANK_RANGE, BLANK_RANGE
    for _ in range(BISECTIONS):
        blank.fill_((low + high) / 2)
        best = model.decoding.rnnt_decoder_predictions_tensor(
            encoded, lengths, return_hypotheses=True
        )
        if len(best[0].y_sequence) > TOKEN_SHARE * encoded.shape[2]:
            low = float(blank)
        else:
            high = float(blank)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tests.models.random_model", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the .nemo file to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--heavy-tails", action="store_true", help="weights of Student's t")
    parser.add_argument("--blank-bias", type=float, default=0.0, help="added to the blank's logit")
    parser.add_argument("--size", choices=SHAPES, default="nemotron")
    given = parser.parse_args(arguments)
    model = build_model(
        SHAPES[given.size],
        given.seed,
        heavy_tails=given.heavy_tails,
        blank_bias=given.blank_bias,
    )
    save_model(model, given.out)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    sys.stdout.write(
        f"{given.out}: {parameters:,} parameters, {given.out.stat().st_size:,} bytes\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
