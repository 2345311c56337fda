"""The transducer (RNN-T) loss with analytic gradients.

NeMo's CPU loss takes seconds for a batch. Only the lattice recursions are inherently sequential,
and they touch two numbers a cell (the log-probability of blank and of the next label), so they run
compiled by numba; the rest is ordinary tensor arithmetic.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx


def transducer_loss(
    logits: Tensor,
    targets: Tensor,
    frames: Tensor,
    labels: Tensor,
    *,
    blank: int,
    fastemit: float = 0.0,
) -> Tensor:
    """Negative log-likelihood of each sequence, shape (batch,).

    logits: (batch, T, U + 1, pieces + 1), unnormalized; targets: (batch, U), padded anyhow;
    frames and labels: true lengths. `fastemit` scales the gradient of emitting by 1 + fastemit,
    which rewards early emission and leaves the value of the loss as it is.
    """
    return _TransducerLoss.apply(logits, targets, frames, labels, blank, fastemit)


class _TransducerLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        logits: Tensor,
        targets: Tensor,
        frames: Tensor,
        labels: Tensor,
        blank: int,
        fastemit: float,
    ) -> Tensor:
        log_probs = logits.detach().float().log_softmax(dim=-1)
        next_label = torch.nn.functional.pad(targets, (0, 1), value=blank)
        index = next_label[:, None, :, None].expand(-1, log_probs.shape[1], -1, 1)
        stay = log_probs[..., blank].contiguous()
        emit = log_probs.gather(-1, index)[..., 0]
        cost, stay_share, emit_share = (
            torch.from_numpy(array).to(logits.device)
            for array in _lattice(*(x.cpu().numpy() for x in (stay, emit, frames, labels)))
        )
        emit_share *= 1 + fastemit
        gradient = log_probs.exp_().mul_((stay_share + emit_share)[..., None])
        gradient[..., blank] -= stay_share
        gradient.scatter_add_(-1, index, -emit_share[..., None])
        ctx.save_for_backward(gradient.to(logits.dtype))
        return cost

    @staticmethod
    def backward(ctx: FunctionCtx, upstream: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        scale = upstream.to(gradient.dtype)[:, None, None, None]
        return gradient.mul_(scale), None, None, None, None, None


@numba.njit(cache=True)
def _log_add(a: float, b: float) -> float:
    high, low = (a, b) if a > b else (b, a)
    return high if low == -np.inf else high + np.log1p(np.exp(low - high))


@numba.njit(cache=True)
def _lattice(
    stay: np.ndarray, emit: np.ndarray, frames: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Costs, and for each cell the posterior of leaving it by blank and by its label."""
    cost = np.zeros(stay.shape[0], dtype=np.float32)
    stay_share = np.zeros_like(stay)
    emit_share = np.zeros_like(emit)
    for b in range(stay.shape[0]):
        last_t, last_u = frames[b] - 1, labels[b]
        alpha = np.full((last_t + 1, last_u + 1), -np.inf)
        beta = np.full((last_t + 2, last_u + 2), -np.inf)
        alpha[0, 0] = 0.0
        for t in range(last_t + 1):
            for u in range(last_u + 1):
                if t > 0:
                    alpha[t, u] = alpha[t - 1, u] + stay[b, t - 1, u]
                if u > 0:
                    alpha[t, u] = _log_add(alpha[t, u], alpha[t, u - 1] + emit[b, t, u - 1])
        total = alpha[last_t, last_u] + stay[b, last_t, last_u]
        cost[b] = -total
        beta[last_t + 1, last_u] = 0.0
        for t in range(last_t, -1, -1):
            for u in range(last_u, -1, -1):
                by_blank = beta[t + 1, u] + stay[b, t, u]
                by_label = beta[t, u + 1] + emit[b, t, u] if u < last_u else -np.inf
                beta[t, u] = _log_add(by_blank, by_label)
                stay_share[b, t, u] = np.exp(alpha[t, u] + by_blank - total)
                emit_share[b, t, u] = np.exp(alpha[t, u] + by_label - total)
    return cost, stay_share, emit_share
