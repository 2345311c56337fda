from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.bench.streams import bench_streams, parse_counts
from quantkit.core.errors import InputError
from quantkit.core.progress import Silent

A = Path("a.wav")


@pytest.mark.parametrize("text", ["0", "1,,2", "two", "1,-2"])
def test_wrong_numbers_are_named(text: str) -> None:
    with pytest.raises(InputError, match=r"--streams: found .*accepted: numbers up to 1024"):
        parse_counts(text, [A])


def test_streams_need_audio() -> None:
    assert parse_counts("", []) == []
    assert parse_counts("1, 8", [A]) == [1, 8]
    with pytest.raises(InputError, match="--streams: found no --audio"):
        parse_counts("1,8", [])


@pytest.mark.slow
def test_together_is_faster_on_the_demo(demo_artifact: Path, tmp_path: Path) -> None:
    audio = tmp_path / "a.wav"
    noise = np.random.default_rng(0).normal(scale=0.1, size=5 * 16_000)
    soundfile.write(audio, noise, 16_000)
    rows = bench_streams([demo_artifact], [1], [1, 4], [audio], Silent())
    assert [(row["threads"], row["streams"]) for row in rows] == [(1, 1), (1, 4)]
    assert rows[0]["ratio_median"] == 1.0
    # Weights are read once for four streams: 1.8 was measured, with noise from 1.6 up.
    assert rows[1]["ratio_median"] > 1.2
    assert rows[1]["rtfx"] == pytest.approx(rows[0]["rtfx"] * rows[1]["ratio_median"], rel=0.3)


def test_a_bad_file_is_named(demo_artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.wav"):
        bench_streams([demo_artifact], [1], [1], [tmp_path / "gone.wav"], Silent())
