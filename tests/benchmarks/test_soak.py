from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks import soak as module
from benchmarks.soak import growth, main

MB = 10**6


@pytest.mark.parametrize(("leak", "beyond"), [(0, False), (20_000, False), (100_000, True)])
def test_a_leak_is_told_from_noise(leak: int, beyond: bool) -> None:
    """30 minutes; the noise is that of pages that come and go."""
    noise = np.random.default_rng(0).normal(0, 100_000, 30)
    found = growth([int(500 * MB + minute * leak + n) for minute, n in enumerate(noise)])
    assert found.low < 29 * leak < found.high
    assert found.beyond_noise == beyond


@pytest.mark.slow
def test_streaming_an_artifact_is_flat(
    demo_artifact: Path, parity_manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--minutes", "8", "--speech", str(parity_manifest)]
    assert main([str(demo_artifact), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:8]] == [str(n) for n in range(1, 9)]
    assert lines[-1].endswith("flat")


def test_growing_memory_ends_with_the_gates_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def leaking(*_: object) -> Iterator[int]:
        return itertools.islice(itertools.count(100 * MB, MB), 10)

    monkeypatch.setattr(module, "soak", leaking)
    assert main([str(tmp_path / "leaky"), "--minutes", "10"]) == 1
    assert "leaky: memory grows; second half: +4.00 MB" in capsys.readouterr().err


def test_too_few_minutes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--minutes", "7"]) == 2
    assert "8 or more" in capsys.readouterr().err
