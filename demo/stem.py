"""The encoder's stem as training runs it: NeMo's function in a tenth of NeMo's time on a CPU.

The stem's largest images are those of its first two convolutions, 3 x 3 with one input channel
each. Arithmetic is nothing there and memory everything, so one compiled loop makes both and the
large image between them is never stored: the backward pass computes it again, row by row.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.functional import conv2d, pad

#: Causal padding of a 3 x 3 convolution of stride 2, in time and (as NeMo has it) in frequency.
PADDING = (2, 1, 2, 1)


class Stem(nn.Module):
    """NeMo's causal x8 depthwise-striding stem with its own layers inside, so it learns in place.

    Reads raw log-mel but is trained as if its input had mean 0 and deviation 1: `plain` folds the
    statistics into the first convolution, zero padding included, which gives exactly the function
    of the convolution that NeMo expects.
    """

    def __init__(self, stem: nn.Module, mean: float, deviation: float) -> None:
        super().__init__()
        self.conv, self.out = stem.conv, stem.out
        self.mean, self.deviation = mean, deviation

    def plain(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the first convolution for raw log-mel."""
        first = self.conv[0]
        weight = first.weight / self.deviation
        return weight, first.bias - self.mean * weight.sum((1, 2, 3))

    @torch.no_grad()
    def adopt(self, weight: Tensor, bias: Tensor) -> None:
        """Take over a first convolution for raw log-mel: the inverse of `plain`."""
        first = self.conv[0]
        first.bias.copy_(bias + self.mean * weight.sum((1, 2, 3)))
        first.weight.copy_(weight * self.deviation)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Sub-sample (batch, time, mels); frames past `lengths` must be zero.

        NeMo multiplies by a mask before every layer. Frames past a clip's end are read only by the
        next strided convolution, so clearing them once a stage gives the same result.
        """
        _, _, second, narrow, _, third, wide, _ = self.conv
        lengths = lengths // 2 + 1
        first_stages = _FirstStages.apply if x.device.type == "cpu" else _first_stages
        x = first_stages(x, lengths, *self.plain(), second.weight, second.bias)
        lengths = lengths // 2 + 1
        x = _depthwise(_cleared_relu(_mixed(x, narrow), lengths), third.weight, third.bias)
        lengths = lengths // 2 + 1
        x = _cleared_relu(_mixed(x, wide), lengths)
        return self.out(x.transpose(2, 3).flatten(2)), lengths


def _mixed(x: Tensor, pointwise: nn.Conv2d) -> Tensor:
    """A 1 x 1 convolution of (batch, time, frequency, channels)."""
    return nn.functional.linear(x, pointwise.weight[:, :, 0, 0], pointwise.bias)


def _cleared_relu(x: Tensor, lengths: Tensor) -> Tensor:
    past = torch.arange(x.shape[1], device=x.device) >= lengths[:, None]
    return x.relu().masked_fill(past[:, :, None, None], 0.0)


def _depthwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 3 x 3 convolution of stride 2 of (batch, time, frequency, channels), in float32."""
    with torch.autocast(x.device.type, enabled=False):
        image = pad(x.float().permute(0, 3, 1, 2), PADDING)
        if x.is_cuda:  # for PyTorch's own depthwise kernels, not cuDNN's
            image = image.contiguous()
        return conv2d(image, weight, bias, 2, groups=len(weight)).permute(0, 2, 3, 1)


def _first_stages(x: Tensor, lengths: Tensor, *weights: Tensor) -> Tensor:
    """What `_FirstStages` does, for devices that convolve well."""
    first, bias, second, second_bias = weights
    with torch.autocast(x.device.type, enabled=False):
        image = conv2d(pad(x[:, None], PADDING), first, bias, 2).permute(0, 2, 3, 1)
    return _depthwise(_cleared_relu(image, lengths), second, second_bias)


class _FirstStages(torch.autograd.Function):
    """Convolution, ReLU, depthwise convolution: (batch, time, mels) to (batch, T, F, channels)."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, lengths: Tensor, *weights: Tensor) -> Tensor:
        first, bias, second, second_bias = (weight.detach() for weight in weights)
        taps = [weight[:, 0].permute(1, 2, 0).contiguous() for weight in (first, second)]
        inputs = (pad(x.float(), PADDING), lengths, taps[0], bias, taps[1])
        ctx.save_for_backward(*inputs)
        return torch.from_numpy(_forward(*_arrays(*inputs), *_arrays(second_bias))).to(x.device)

    @staticmethod
    def backward(ctx: FunctionCtx, upstream: Tensor) -> tuple[Tensor | None, ...]:
        gradients = _backward(*_arrays(*ctx.saved_tensors), *_arrays(upstream.contiguous()))
        first, bias, second, second_bias = (
            torch.from_numpy(array).to(upstream.device) for array in gradients
        )
        taps = (weight.permute(2, 0, 1)[:, None] for weight in (first, second))
        return None, None, next(taps), bias, next(taps), second_bias


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.cpu().numpy() for tensor in tensors]


@numba.njit(cache=True, fastmath=True, inline="always")
def _first_row(
    x: np.ndarray, time: int, weight: np.ndarray, bias: np.ndarray, row: np.ndarray
) -> None:
    """Write the first image at `time`, (frequencies, channels), ReLU included."""
    for f in range(row.shape[0]):
        for c in range(row.shape[1]):
            row[f, c] = bias[c]
        for i in range(3):
            for j in range(3):
                value = x[2 * time + i, 2 * f + j]
                for c in range(row.shape[1]):
                    row[f, c] += value * weight[i, j, c]
        for c in range(row.shape[1]):
            row[f, c] = max(row[f, c], np.float32(0.0))


@numba.njit(cache=True, fastmath=True)
def _next_rows(
    x: np.ndarray, length: int, t: int, weight: np.ndarray, bias: np.ndarray, rows: np.ndarray
) -> None:
    """Move the window of three rows that output row `t` reads; rows past `length` are zero."""
    rows[0] = rows[2]
    for i in range(1, 3):
        time = 2 * t - 2 + i
        if 0 <= time < length:
            _first_row(x, time, weight, bias, rows[i, 2:-1])
        else:
            rows[i] = 0


@numba.njit(cache=True, fastmath=True)
def _forward(
    x: np.ndarray,
    lengths: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    second: np.ndarray,
    second_bias: np.ndarray,
) -> np.ndarray:
    channels = len(bias)
    height, width = (x.shape[1] - 1) // 2, (x.shape[2] - 1) // 2
    y = np.empty((len(x), height // 2 + 1, width // 2 + 1, channels), np.float32)
    rows = np.zeros((3, width + 3, channels), np.float32)
    for n in range(len(x)):
        rows[:] = 0
        for t in range(y.shape[1]):
            _next_rows(x[n], lengths[n], t, weight, bias, rows)
            for f in range(y.shape[2]):
                for c in range(channels):
                    y[n, t, f, c] = second_bias[c]
                for i in range(3):
                    for j in range(3):
                        for c in range(channels):
                            y[n, t, f, c] += rows[i, 2 * f + j, c] * second[i, j, c]
    return y


@numba.njit(cache=True, fastmath=True, inline="always")
def _through_second(
    upstream: np.ndarray,
    second: np.ndarray,
    rows: np.ndarray,
    d_rows: np.ndarray,
    d_second: np.ndarray,
    d_second_bias: np.ndarray,
) -> None:
    """Add what one output row's gradient means for the second convolution and for its input."""
    for f in range(upstream.shape[0]):
        for c in range(upstream.shape[1]):
            d_second_bias[c] += upstream[f, c]
        for i in range(3):
            for j in range(3):
                for c in range(upstream.shape[1]):
                    d_second[i, j, c] += upstream[f, c] * rows[i, 2 * f + j, c]
                    d_rows[i, 2 * f + j, c] += upstream[f, c] * second[i, j, c]


@numba.njit(cache=True, fastmath=True, inline="always")
def _through_first(
    x: np.ndarray,
    time: int,
    row: np.ndarray,
    d_row: np.ndarray,
    d_weight: np.ndarray,
    d_bias: np.ndarray,
) -> None:
    """Add what the gradient of the first image's row at `time` means for the first convolution."""
    for f in range(row.shape[0]):
        for c in range(row.shape[1]):
            if row[f, c] <= 0:
                d_row[f, c] = 0
            d_bias[c] += d_row[f, c]
        for i in range(3):
            for j in range(3):
                value = x[2 * time + i, 2 * f + j]
                for c in range(row.shape[1]):
                    d_weight[i, j, c] += value * d_row[f, c]


@numba.njit(cache=True, fastmath=True)
def _backward(
    x: np.ndarray,
    lengths: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    second: np.ndarray,
    upstream: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of both convolutions' weights (taps first) and biases."""
    channels = len(bias)
    width = (x.shape[2] - 1) // 2
    d_weight, d_bias = np.zeros_like(weight), np.zeros_like(bias)
    d_second, d_second_bias = np.zeros_like(second), np.zeros_like(bias)
    rows = np.zeros((3, width + 3, channels), np.float32)
    d_rows = np.zeros_like(rows)
    for n in range(len(x)):
        rows[:] = 0
        d_rows[:] = 0
        for t in range(upstream.shape[1] + 1):
            _next_rows(x[n], lengths[n], t, weight, bias, rows)
            d_rows[0] = d_rows[2]
            d_rows[1:] = 0
            if t < upstream.shape[1]:
                _through_second(upstream[n, t], second, rows, d_rows, d_second, d_second_bias)
            for i in range(2):  # no later output reads the window's first two rows
                time = 2 * t - 2 + i
                if 0 <= time < lengths[n]:
                    _through_first(x[n], time, rows[i, 2:-1], d_rows[i, 2:-1], d_weight, d_bias)
    return d_weight, d_bias, d_second, d_second_bias
