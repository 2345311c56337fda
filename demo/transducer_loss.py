"""The transducer (RNN-T) loss with analytic gradients.

NeMo's CPU loss takes seconds for a batch. Only the lattice recursions are inherently sequential,
and they touch two numbers a cell (the log-probability of blank and of the next label), so they run
compiled by numba on a CPU and a diagonal at a time on a GPU; the rest is tensor arithmetic.
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
        lattice = _lattice if logits.device.type == "cpu" else lattice_by_diagonals
        cost, stay_share, emit_share = lattice(stay, emit, frames, labels)
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


def _lattice(stay: Tensor, emit: Tensor, frames: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    """Costs, and for each cell the posterior of leaving it by blank and by its label."""
    arrays = _compiled_lattice(*(x.numpy() for x in (stay, emit, frames, labels)))
    return tuple(torch.from_numpy(array) for array in arrays)


def lattice_by_diagonals(
    stay: Tensor, emit: Tensor, frames: Tensor, labels: Tensor
) -> tuple[Tensor, ...]:
    """What `_lattice` computes, with a few operations for each diagonal of all the lattices.

    Cells of one diagonal, t + u = d, do not depend on each other. Row d of a skewed array holds
    them at their u, and minus infinity where there is no cell.
    """
    batch, longest, width = stay.shape
    u = torch.arange(width, device=stay.device)
    t = torch.arange(longest + width - 1, device=stay.device)[:, None] - u
    inside = (t >= 0) & (t < frames[:, None, None]) & (u <= labels[:, None, None])
    index = t.clamp(0, longest - 1).expand(batch, -1, -1)
    stay = stay.double().gather(1, index).masked_fill(~inside, -torch.inf)
    emit = emit.double().gather(1, index)
    emit = emit.masked_fill(~inside | (u >= labels[:, None, None]), -torch.inf)
    last = (t == frames[:, None, None] - 1) & (u == labels[:, None, None])
    nowhere = stay.new_full((batch, 1), -torch.inf)

    alpha = [torch.where(u == 0, stay.new_zeros(batch, width), -torch.inf)]
    for d in range(1, len(t)):
        by_blank = alpha[-1] + stay[:, d - 1]
        by_label = torch.cat([nowhere, (alpha[-1] + emit[:, d - 1])[:, :-1]], dim=1)
        alpha.append(torch.logaddexp(by_blank, by_label))
    leave = torch.zeros_like(stay).masked_fill(~last, -torch.inf)  # by blank, out of the lattice
    enter = torch.full_like(stay, -torch.inf)
    after = nowhere.expand(batch, width)
    for d in range(len(t) - 1, -1, -1):
        leave[:, d] = torch.where(last[:, d], leave[:, d], after)
        enter[:, d] = torch.cat([after[:, 1:], nowhere], dim=1)
        after = torch.logaddexp(leave[:, d] + stay[:, d], enter[:, d] + emit[:, d])
    total = after[:, 0]
    reached = torch.stack(alpha, dim=1) - total[:, None, None]
    back = (torch.arange(longest, device=stay.device)[:, None] + u).expand(batch, -1, -1)
    shares = ((reached + leave + stay).exp(), (reached + enter + emit).exp())
    stay_share, emit_share = (share.gather(1, back).float() for share in shares)
    return (-total).float(), stay_share, emit_share


@numba.njit(cache=True)
def _compiled_lattice(
    stay: np.ndarray, emit: np.ndarray, frames: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
