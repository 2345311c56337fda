"""A small encoder in Whisper's manner, as torch's exporters write it."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from quantkit.nemo.export.onnx_file import export_module

MELS, WIDTH, HEADS = 20, 64, 4


class Encoder(nn.Module):
    """Convolutions of kernel 3 and 1, one layer of attention, a head that one linear shares."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.stem = nn.Conv1d(MELS, WIDTH, 3, padding=1)
        self.pointwise = nn.Conv1d(WIDTH, WIDTH, 1)
        self.norm = nn.LayerNorm(WIDTH)
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH, bias=False)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.last_norm = nn.LayerNorm(WIDTH)
        self.feed = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Encode mel [B, MELS, T] into [B, T, WIDTH] and a summary [B, WIDTH]."""
        hidden = nn.functional.gelu(self.stem(mel))
        hidden = nn.functional.gelu(self.pointwise(hidden)).transpose(1, 2)
        normed = self.norm(hidden)
        query, key, value = (
            layer(normed).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        hidden = hidden + self.out(attended.transpose(1, 2).flatten(2))
        hidden = hidden + self.feed(self.last_norm(hidden))
        return hidden, self.out(hidden[:, 0])


def export_traced(path: Path) -> Path:
    """By the exporter that Whisper's and Parakeet's public files come from."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Encoder().eval(),
            (torch.zeros(2, MELS, 30),),
            path,
            input_names=["mel"],
            output_names=["encoded", "summary"],
            dynamic_axes={"mel": {0: "batch", 2: "time"}},
            opset_version=17,
            dynamo=False,
        )
    return path


def export_program(path: Path) -> Path:
    """By the present exporter, not optimized: weights stand behind Transpose."""
    shapes = ({0: torch.export.Dim("batch"), 2: torch.export.Dim("time")},)
    inputs = (torch.zeros(2, MELS, 30),)
    export_module(Encoder().eval(), inputs, ["mel"], ["encoded", "summary"], path, shapes)
    return path
