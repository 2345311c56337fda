"""PyTorch in one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread: how sums are ordered then depends on nothing but the model.

    Not on the machine, and not on compiled loops that ran before: numba sets OpenMP's number too.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
