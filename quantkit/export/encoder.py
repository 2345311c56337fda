"""The streaming encoder step: NeMo's layers with projected keys and values in the cache.

Three things differ from NeMo's own step, none of them in exact arithmetic:

- keys and values are cached after their projection instead of being projected again for all
  cached frames at every step;
- of the projected relative positions only the `left + 2 * steps - 1` that the relative shift ever
  reads are kept, as constants, together with their product with the position bias;
- the first chunk runs through the same static graph as the later ones: where `cache_length` is 0,
  what lies before the start is zeroed at the input of every strided convolution, which is what the
  causal padding of NeMo's shorter first window does.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from quantkit.export.architecture import Geometry

# NeMo's value for masked attention scores (multi_head_attention.INF_VAL).
MASKED_SCORE = -10000.0


class StreamingEncoder(nn.Module):
    """One step of a cache-aware FastConformer encoder.

    Inputs: features [B, window, mels] float32, length [B] int64 (valid rows of the window),
    cache_length [B] int64 (filled frames of the attention cache), and per layer the key and value
    caches [B, heads, left, d_k] and the convolution cache [B, d_model, kernel - 1].
    Outputs: encoded [B, steps, d_model], encoded_length [B], the next cache length and caches.
    """

    def __init__(self, encoder: Any, geometry: Geometry) -> None:
        super().__init__()
        self.geometry = geometry
        self.stem = Stem(encoder.pre_encode, geometry)
        # Called once, so that NeMo itself lays out the relative positions.
        encoder.pos_enc.extend_pe(
            geometry.left + geometry.steps, torch.device("cpu"), torch.float32
        )
        positions = encoder.pos_enc(torch.zeros(1, geometry.steps, 1), cache_len=geometry.left)[1]
        self.layers = nn.ModuleList(Layer(layer, positions, geometry) for layer in encoder.layers)
        self.scale = encoder.pos_enc.xscale
        self.projection = encoder.out_proj

    def forward(
        self,
        features: Tensor,
        length: Tensor,
        cache_length: Tensor,
        key_caches: list[Tensor],
        value_caches: list[Tensor],
        conv_caches: list[Tensor],
    ) -> tuple[Tensor, Tensor, Tensor, list[Tensor], list[Tensor], list[Tensor]]:
        left, steps = self.geometry.left, self.geometry.steps
        x, encoded_length = self.stem(features, length, cache_length)
        if self.scale:
            x = x * self.scale

        # A key is visible once the cache has been filled up to it and audio has reached it.
        column = torch.arange(left + steps)
        visible = (column >= (left - cache_length)[:, None]) & (
            column < (left + encoded_length)[:, None]
        )
        mask = torch.where(visible, 0.0, MASKED_SCORE)[:, None, None, :]

        keys, values, convs = [], [], []
        for layer, key, value, conv in zip(
            self.layers, key_caches, value_caches, conv_caches, strict=True
        ):
            x, key_next, value_next, conv_next = layer(x, mask, key, value, conv)
            keys.append(key_next)
            values.append(value_next)
            convs.append(conv_next)
        if self.projection is not None:
            x = self.projection(x)
        cache_length_next = torch.clamp(cache_length + encoded_length, max=left)
        return x, encoded_length, cache_length_next, keys, values, convs


class Stem(nn.Module):
    """Causal convolutional sub-sampling of one window, exact on the first and the last chunk."""

    def __init__(self, pre_encode: Any, geometry: Geometry) -> None:
        super().__init__()
        self.convolutions = pre_encode.conv
        self.out = pre_encode.out
        self.geometry = geometry

    def forward(
        self, features: Tensor, length: Tensor, cache_length: Tensor
    ) -> tuple[Tensor, Tensor]:
        x = features[:, None]
        continues = (cache_length > 0)[:, None]
        leading = self.geometry.leading_frames
        stride = 1
        for layer in self.convolutions:
            if getattr(layer, "stride", (1, 1)) != (1, 1):
                row = torch.arange(x.shape[2])
                inside = reached(row, stride, length) & ((row >= leading) | continues)
                x = torch.where(inside[:, None, :, None], x, 0.0)
                stride, leading = stride * 2, leading // 2
            x = layer(x)
        # What is left of the leading rows saw padding instead of the audio before the window.
        x = x[:, :, leading:]
        encoded_length = reached(leading + torch.arange(x.shape[2]), stride, length).sum(1)
        return self.out(x.transpose(1, 2).flatten(2)), encoded_length


def reached(row: Tensor, stride: int, length: Tensor) -> Tensor:
    """Whether audio reaches a row after strided convolutions: [B, rows].

    With kernel 3, stride 2 and padding (2, 1), NeMo's length goes from L to L // 2 + 1 at each
    convolution; after several of them that is row * stride - (stride - 2) <= L.
    """
    return row * stride - (stride - 2) <= length[:, None]


class Layer(nn.Module):
    """One conformer layer: half feed-forward, attention, convolution, half feed-forward."""

    def __init__(self, layer: Any, positions: Tensor, geometry: Geometry) -> None:
        super().__init__()
        self.norm_feed_forward1 = layer.norm_feed_forward1
        self.feed_forward1 = layer.feed_forward1
        self.norm_self_att = layer.norm_self_att
        self.self_attn = Attention(layer.self_attn, positions, geometry)
        self.norm_conv = layer.norm_conv
        self.conv = Convolution(layer.conv)
        self.norm_feed_forward2 = layer.norm_feed_forward2
        self.feed_forward2 = layer.feed_forward2
        self.norm_out = layer.norm_out
        self.factor = layer.fc_factor

    def forward(
        self, x: Tensor, mask: Tensor, key_cache: Tensor, value_cache: Tensor, conv_cache: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = x + self.feed_forward1(self.norm_feed_forward1(x)) * self.factor
        attended, keys, values = self.self_attn(self.norm_self_att(x), mask, key_cache, value_cache)
        x = x + attended
        convolved, frames = self.conv(self.norm_conv(x), conv_cache)
        x = x + convolved
        x = x + self.feed_forward2(self.norm_feed_forward2(x)) * self.factor
        return self.norm_out(x), keys, values, frames


class Attention(nn.Module):
    """Relative-position attention (https://arxiv.org/abs/1901.02860, section 3.3)."""

    position_keys: Tensor
    position_bias: Tensor
    query_bias: Tensor
    heads: int
    width: int

    def __init__(self, attention: Any, positions: Tensor, geometry: Geometry) -> None:
        super().__init__()
        self.linear_q = attention.linear_q
        self.linear_k = attention.linear_k
        self.linear_v = attention.linear_v
        self.linear_out = attention.linear_out
        self.heads, self.width = attention.h, attention.d_k
        self.left, self.steps = geometry.left, geometry.steps
        self.scale = 1 / math.sqrt(self.width)

        # Relative positions run from left + steps - 1 down; no query of a chunk reads further
        # into the future than -(steps - 1).
        used = self.left + 2 * self.steps - 1
        projected = attention.linear_pos(positions[:, :used]).view(used, self.heads, self.width)
        keys = projected.permute(1, 2, 0).contiguous()  # [heads, d_k, used]
        # The query already carries bias u, so the position term needs the difference to bias v.
        difference = (attention.pos_bias_v - attention.pos_bias_u)[:, None]
        self.register_buffer("position_keys", keys)
        self.register_buffer("position_bias", torch.matmul(difference, keys) * self.scale)
        self.register_buffer("query_bias", attention.pos_bias_u.detach().flatten())

    def forward(
        self, x: Tensor, mask: Tensor, key_cache: Tensor, value_cache: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        query = self.split_heads((self.linear_q(x) + self.query_bias) * self.scale)
        keys = torch.cat([key_cache, self.split_heads(self.linear_k(x))], dim=2)
        values = torch.cat([value_cache, self.split_heads(self.linear_v(x))], dim=2)
        content = torch.matmul(query, keys.transpose(2, 3))
        position = self.shift(torch.matmul(query, self.position_keys) + self.position_bias)
        weights = torch.softmax(content + (position + mask), dim=-1)
        attended = torch.matmul(weights, values).transpose(1, 2).flatten(2)
        return self.linear_out(attended), keys[:, :, self.steps :], values[:, :, self.steps :]

    def split_heads(self, x: Tensor) -> Tensor:
        """[B, steps, d_model] -> [B, heads, steps, d_k]."""
        return x.view(-1, self.steps, self.heads, self.width).transpose(1, 2)

    def shift(self, x: Tensor) -> Tensor:
        """Pick for query i and key j the position j + steps - 1 - i: a view with a shorter row."""
        if self.steps == 1:
            return x
        row = x.shape[-1] - 1
        start = self.steps - 1
        flat = x.flatten(2)[:, :, start : start + self.steps * row]
        return flat.view(-1, self.heads, self.steps, row)[..., : self.left + self.steps]


class Convolution(nn.Module):
    """The conformer's convolution module, time-major but for the depthwise convolution itself."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.pointwise_conv1 = module.pointwise_conv1
        self.depthwise_conv = module.depthwise_conv
        self.norm = module.batch_norm
        self.channels_first = module.norm_type == "batch_norm"
        self.activation = module.activation
        self.pointwise_conv2 = module.pointwise_conv2

    def forward(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.glu(self.pointwise_conv1(x.transpose(1, 2)).transpose(1, 2), dim=-1)
        frames = torch.cat([cache, x.transpose(1, 2)], dim=2)
        depthwise = self.depthwise_conv
        x = functional.conv1d(frames, depthwise.weight, depthwise.bias, groups=depthwise.groups)
        # Batch norm is over [B, channels, time], layer norm over [B, time, channels].
        x = self.norm(x).transpose(1, 2) if self.channels_first else self.norm(x.transpose(1, 2))
        x = self.pointwise_conv2(self.activation(x).transpose(1, 2)).transpose(1, 2)
        return x, frames[:, :, -cache.shape[2] :]
