from __future__ import annotations

import numpy as np

from quantkit.runtime.files import paced


class Clock:
    """Time that only sleeping, or the test, moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_pieces_arrive_when_their_last_sample_is_spoken() -> None:
    clock = Clock()
    pieces = [np.zeros(n, np.float32) for n in (800, 1600, 0, 160)]
    times = [clock.now for _ in paced(pieces, 16_000, clock, clock.sleep)]
    np.testing.assert_allclose(times, [100.05, 100.15, 100.15, 100.16])


def test_a_slow_consumer_catches_up() -> None:
    clock = Clock()
    times = []
    for index, _ in enumerate(paced([np.zeros(160, np.float32)] * 5, 16_000, clock, clock.sleep)):
        times.append(clock.now)
        clock.now += 0.035 if index == 0 else 0.0
    np.testing.assert_allclose(times, [100.01, 100.045, 100.045, 100.045, 100.05])
