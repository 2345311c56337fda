"""The compiled loss against the sum over all alignments."""

from itertools import combinations

import torch
from torch import Tensor

from demo.transducer_loss import _lattice, lattice_by_diagonals, transducer_loss

BLANK = 4


def all_alignments(log_probs: Tensor, targets: list[int], frames: int) -> Tensor:
    """Minus the log of the summed probability of every path through one lattice."""
    moves = frames - 1 + len(targets)
    paths = []
    for emitting in combinations(range(moves), len(targets)):
        t = u = 0
        path = torch.zeros((), dtype=log_probs.dtype)
        for move in range(moves):
            if move in emitting:
                path = path + log_probs[t, u, targets[u]]
                u += 1
            else:
                path = path + log_probs[t, u, BLANK]
                t += 1
        paths.append(path + log_probs[t, u, BLANK])
    return -torch.stack(paths).logsumexp(0)


def test_value_and_gradient_equal_the_sum_over_alignments() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 4, 3, BLANK + 1, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, BLANK, (3, 2))
    frames, labels = torch.tensor([4, 3, 2]), torch.tensor([2, 1, 2])
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    expected = torch.stack(
        [
            all_alignments(row.log_softmax(-1), target[:count].tolist(), int(length))
            for row, target, count, length in zip(logits, targets, labels, frames, strict=True)
        ]
    )
    (expected_gradient,) = torch.autograd.grad((weights * expected).sum(), logits)
    cost = transducer_loss(logits, targets, frames, labels, blank=BLANK)
    (gradient,) = torch.autograd.grad((weights * cost).sum(), logits)
    torch.testing.assert_close(cost.double(), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-5, rtol=1e-5)


def test_fastemit_scales_only_the_gradient_of_emitting() -> None:
    logits = torch.zeros(1, 1, 2, BLANK + 1, requires_grad=True)
    arguments = (torch.tensor([[1]]), torch.tensor([1]), torch.tensor([1]))
    plain = transducer_loss(logits, *arguments, blank=BLANK)
    eager = transducer_loss(logits, *arguments, blank=BLANK, fastemit=0.5)
    torch.testing.assert_close(plain, eager)
    (plain_gradient,) = torch.autograd.grad(plain.sum(), logits)
    (eager_gradient,) = torch.autograd.grad(eager.sum(), logits)
    torch.testing.assert_close(eager_gradient[0, 0, 0], 1.5 * plain_gradient[0, 0, 0])
    torch.testing.assert_close(eager_gradient[0, 0, 1], plain_gradient[0, 0, 1])


def test_diagonals_give_what_the_compiled_loop_gives() -> None:
    torch.manual_seed(1)
    stay, emit = -4 * torch.rand(2, 4, 9, 6)
    frames, labels = torch.tensor([9, 9, 5, 1]), torch.tensor([5, 2, 4, 0])
    compiled = _lattice(stay, emit, frames, labels)
    by_diagonals = lattice_by_diagonals(stay, emit, frames, labels)
    for ours, expected in zip(by_diagonals, compiled, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
