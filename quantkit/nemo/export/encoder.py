"""The streaming encoder step: NeMo's layers with projected keys and values in the cache.

Four things differ from NeMo's own step, none of them in exact arithmetic:

- keys and values are cached after their projection instead of being projected again for all
  cached frames at every step;
- a cache is a ring of `left + steps` rows: a chunk's frames replace the oldest ones where they
  lie, and attention, which asks for no order, takes the rows as they lie;
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
from torch.nn.utils.fusion import fuse_conv_bn_weights

from quantkit.nemo.architecture import Geometry

# NeMo's value for masked attention scores (multi_head_attention.INF_VAL).
MASKED_SCORE = -10000.0
# Far below anything that a convolution of log-mel gives, far from the end of float32.
BARRIER = -1e30


class StreamingEncoder(nn.Module):
    """One step of a cache-aware FastConformer encoder.

    Inputs: features [B, window, mels] float32, length [B] int64 (valid rows of the window),
    cache_length [B] int64 (encoder frames of the stream so far), and per layer the key and value
    caches [B, heads, left + steps, d_k], where frame f is in row f modulo the rows, and the
    convolution cache [B, kernel - 1, d_model].
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
        self.heads = encoder.layers[0].self_attn.h
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
        x, encoded_length = self.stem(features, length, cache_length)
        if self.scale:
            x = x * self.scale
        ring = Ring(self.geometry, self.heads, cache_length, encoded_length)

        keys, values, convs = [], [], []
        for layer, key, value, conv in zip(
            self.layers, key_caches, value_caches, conv_caches, strict=True
        ):
            x, key_next, value_next, conv_next = layer(x, ring, key, value, conv)
            keys.append(key_next)
            values.append(value_next)
            convs.append(conv_next)
        if self.projection is not None:
            x = self.projection(x)
        return x, encoded_length, cache_length + encoded_length, keys, values, convs


class Ring:
    """Where a chunk's frames go in the key and value caches, and what its queries see there.

    places: int64 [B, steps, heads, 3], the stream, head and row of every new frame.
    positions: int64 [B, heads, steps, left + steps], for every query and row of the cache the
    column of the relative position between them.
    mask: float32 [B, 1, 1, left + steps], 0 where a row holds a frame that a query may see.
    """

    def __init__(
        self, geometry: Geometry, heads: int, cache_length: Tensor, encoded_length: Tensor
    ) -> None:
        left, steps = geometry.left, geometry.steps
        size, batch = left + steps, cache_length.shape[0]
        step, start = torch.arange(steps), cache_length[:, None]
        self.places = torch.stack(
            torch.broadcast_tensors(
                torch.arange(batch)[:, None, None],
                torch.arange(heads),
                ((start + step) % size)[:, :, None],
            ),
            dim=-1,
        )
        # Counted from the oldest frame in the cache once this chunk is in it.
        age = (torch.arange(size) - start - steps) % size
        columns = age[:, None] + (steps - 1 - step)[:, None]
        self.positions = columns[:, None].expand(-1, heads, -1, -1)
        # A key is visible once the cache has been filled up to it and audio has reached it.
        visible = (age >= left - start) & (age < left + encoded_length[:, None])
        self.mask = torch.where(visible, 0.0, MASKED_SCORE)[:, None, None, :]

    def write(self, cache: Tensor, frames: Tensor) -> Tensor:
        """The cache with a chunk's frames [B, steps, heads, d_k] in it."""
        # Traced from `index_put`, it would come with a dozen nodes of its own for every cache.
        return torch.onnx.ops.symbolic(
            "ScatterND", (cache, self.places, frames), dtype=cache.dtype, shape=cache.shape
        )


class Stem(nn.Module):
    """Causal convolutional sub-sampling of one window, exact on the first and the last chunk.

    Rows that do not exist, before the start and after the end, are zeroed at the input of every
    strided convolution. The second one's input is by far the largest tensor; its rows are zeroed
    by the first convolution and the rectifier after it, through a second input channel that is
    hugely negative where they are to vanish.
    """

    def __init__(self, pre_encode: Any, geometry: Geometry) -> None:
        super().__init__()
        self.first, self.rectifier, *rest = pre_encode.conv
        self.rest = nn.ModuleList(rest)
        self.out = pre_encode.out
        self.geometry = geometry
        # Output row r reads the barrier's row 2r, in any of its columns.
        barrier = torch.zeros_like(self.first.weight)
        barrier[:, :, -1] = 1
        self.first.weight.data = torch.cat([self.first.weight.detach(), barrier], dim=1)

    def forward(
        self, features: Tensor, length: Tensor, cache_length: Tensor
    ) -> tuple[Tensor, Tensor]:
        continues = (cache_length > 0)[:, None]
        leading = self.geometry.leading_frames

        def exists(row: Tensor, stride: int) -> Tensor:
            after_start = (row * stride >= leading) | continues
            return (reached(row, stride, length) & after_start)[:, :, None]

        row = torch.arange(features.shape[1])
        inside = torch.where(exists(row, 1), features, 0.0)
        barrier = torch.where(exists(row // 2, 2), 0.0, BARRIER).expand_as(features)
        x = self.rectifier(self.first(torch.stack([inside, barrier], dim=1)))
        stride = 2
        for layer in self.rest:
            if getattr(layer, "stride", (1, 1)) != (1, 1):
                if stride > 2:
                    row = torch.arange(x.shape[2])
                    x = torch.where(exists(row, stride)[:, None], x, 0.0)
                stride *= 2
            x = layer(x)
        # What is left of the leading rows saw padding instead of the audio before the window.
        x = x[:, :, leading // stride :]
        row = leading // stride + torch.arange(x.shape[2])
        encoded_length = reached(row, stride, length).sum(1)
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
        self, x: Tensor, ring: Ring, key_cache: Tensor, value_cache: Tensor, conv_cache: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = x + self.feed_forward1(self.norm_feed_forward1(x)) * self.factor
        attended, keys, values = self.self_attn(self.norm_self_att(x), ring, key_cache, value_cache)
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
        # [heads, d_k, used], times the scale of the scores.
        keys = projected.permute(1, 2, 0).contiguous() * self.scale
        # The query already carries bias u, so the position term needs the difference to bias v.
        difference = (attention.pos_bias_v - attention.pos_bias_u)[:, None]
        self.register_buffer("position_keys", keys)
        self.register_buffer("position_bias", torch.matmul(difference, keys))
        self.register_buffer("query_bias", attention.pos_bias_u.detach())

    def forward(
        self, x: Tensor, ring: Ring, key_cache: Tensor, value_cache: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        query = (self.split_heads(self.linear_q(x)) + self.query_bias).transpose(1, 2)
        keys = ring.write(key_cache, self.split_heads(self.linear_k(x)))
        values = ring.write(value_cache, self.split_heads(self.linear_v(x)))
        content = torch.matmul(query, keys.transpose(2, 3)) * self.scale
        position = torch.matmul(query, self.position_keys) + self.position_bias
        bias = torch.gather(position, 3, ring.positions) + ring.mask
        weights = torch.softmax(content + bias, dim=-1)
        attended = torch.matmul(weights, values).transpose(1, 2).flatten(2)
        return self.linear_out(attended), keys, values

    def split_heads(self, x: Tensor) -> Tensor:
        """[B, steps, d_model] -> [B, steps, heads, d_k]."""
        return x.unflatten(2, (self.heads, self.width))


class Convolution(nn.Module):
    """The conformer's convolution module, time-major but for the convolutions themselves."""

    depthwise_weight: Tensor
    depthwise_bias: Tensor | None

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.pointwise_conv1 = module.pointwise_conv1
        self.pointwise_conv2 = module.pointwise_conv2
        self.activation = module.activation
        depthwise, norm = module.depthwise_conv, module.batch_norm
        weight, bias = depthwise.weight, depthwise.bias
        self.norm = norm
        if module.norm_type == "batch_norm":
            # Its statistics are constants, so that it is a part of the convolution before it.
            weight, bias = fuse_conv_bn_weights(
                weight, bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            self.norm = nn.Identity()
        self.register_buffer("depthwise_weight", weight.detach())
        self.register_buffer("depthwise_bias", None if bias is None else bias.detach())

    def forward(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        steps = x.shape[1]
        x = functional.glu(self.pointwise_conv1(x.transpose(1, 2)).transpose(1, 2), dim=-1)
        frames = torch.cat([cache, x], dim=1)
        x = functional.conv1d(
            frames.transpose(1, 2),
            self.depthwise_weight,
            self.depthwise_bias,
            groups=frames.shape[2],
        )
        x = self.activation(self.norm(x.transpose(1, 2)))
        x = self.pointwise_conv2(x.transpose(1, 2)).transpose(1, 2)
        return x, frames[:, steps:]
