"""What Olive loads: NeMo's own encoder, decoder and joint, as the published recipe wraps them.

Olive's conversion pass runs this file by its path (`model_script`) and calls the functions. The
"model" that it hands them is the request of `benchmarks.incumbent`: a small JSON file, since
Olive has no other place for the chunk length.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from quantkit.nemo.loading.checkpoint import load_checkpoint


class StreamingEncoder(nn.Module):
    """NeMo's `forward_for_export`, time-major, caches with the batch first."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(
        self,
        audio_signal: Tensor,
        length: Tensor,
        cache_last_channel: Tensor,
        cache_last_time: Tensor,
        cache_last_channel_len: Tensor,
    ) -> tuple[Tensor, ...]:
        """One chunk.

        Args:
            audio_signal: log-mel [1, frames, mels], the 9 frames before the chunk included.
            length: valid frames, int64 [1].
            cache_last_channel: [1, layers, left context, width].
            cache_last_time: [1, layers, width, kernel - 1].
            cache_last_channel_len: int64 [1].

        Returns:
            Encoded [1, frames, width], its length, and the three next caches.
        """
        encoded, *rest = self.encoder.forward_for_export(
            audio_signal.transpose(1, 2),
            length,
            cache_last_channel,
            cache_last_time,
            cache_last_channel_len,
        )
        return encoded.transpose(1, 2), *rest


class PredictionNetwork(nn.Module):
    """NeMo's decoder for one token; states are fed back."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, targets: Tensor, h_in: Tensor, c_in: Tensor) -> tuple[Tensor, ...]:
        """One token.

        Args:
            targets: int64 [1, 1].
            h_in: [layers, 1, hidden].
            c_in: [layers, 1, hidden].

        Returns:
            Prediction [1, hidden, 1], and the two next states.
        """
        prediction, states = self.decoder.predict(targets, [h_in, c_in], add_sos=False)
        return prediction.transpose(1, 2), *states


class Joint(nn.Module):
    """NeMo's joint for one frame and one prediction, without log-softmax."""

    def __init__(self, joint: Any) -> None:
        super().__init__()
        joint.log_softmax = False
        self.joint = joint

    def forward(self, encoder_output: Tensor, decoder_output: Tensor) -> Tensor:
        """Logits [1, 1, 1, V + 1] of [1, 1, width] and [1, 1, hidden]."""
        return self.joint.joint(encoder_output, decoder_output)


def load_encoder(request: str) -> nn.Module:
    """Olive's `model_loader`."""
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    encoder = load_checkpoint(Path(asked["checkpoint"])).encoder
    encoder.set_default_att_context_size([asked["left"], asked["right"]])
    return StreamingEncoder(encoder).eval()


def load_decoder(request: str) -> nn.Module:
    """Olive's `model_loader`."""
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    return PredictionNetwork(load_checkpoint(Path(asked["checkpoint"])).decoder).eval()


def load_joiner(request: str) -> nn.Module:
    """Olive's `model_loader`."""
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    return Joint(load_checkpoint(Path(asked["checkpoint"])).joint).eval()


def encoder_inputs(handler: Any) -> tuple[Tensor, ...]:
    """Olive's `dummy_inputs_func`."""
    asked = json.loads(Path(handler.model_path).read_text(encoding="utf-8"))
    layers, width = asked["layers"], asked["width"]
    return (
        torch.randn(1, asked["frames"], asked["mels"]),
        torch.tensor([asked["frames"]]),
        torch.zeros(1, layers, asked["left"], width),
        torch.zeros(1, layers, width, asked["kernel"] - 1),
        torch.zeros(1, dtype=torch.int64),
    )


def decoder_inputs(handler: Any) -> tuple[Tensor, ...]:
    """Olive's `dummy_inputs_func`."""
    asked = json.loads(Path(handler.model_path).read_text(encoding="utf-8"))
    state = torch.zeros(asked["predictor_layers"], 1, asked["predictor_width"])
    return torch.zeros(1, 1, dtype=torch.int64), state, state.clone()


def joiner_inputs(handler: Any) -> tuple[Tensor, ...]:
    """Olive's `dummy_inputs_func`."""
    asked = json.loads(Path(handler.model_path).read_text(encoding="utf-8"))
    return torch.zeros(1, 1, asked["width"]), torch.zeros(1, 1, asked["predictor_width"])
