"""What is kept of a measurement is what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantkit.build.comparison import speed
from quantkit.core.errors import InputError
from quantkit.core.integrity import sealed, write_kept
from quantkit.report.schema import Bench

BENCH = Bench(
    machine="any, 2 cores",
    threads=1,
    step_p50_ms=1.25,
    step_p95_ms=1.5,
    rtfx=None,
    load_s=0.5,
    rss_bytes=10**8,
    faster_than_fp32=None,
)


def test_an_earlier_measurement_is_found(tmp_path: Path) -> None:
    write_kept(tmp_path / "a.json", BENCH.model_dump(mode="json"))
    assert speed._kept(tmp_path / "a.json") == BENCH


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda kept: kept | {"step_p50_ms": 0.25}, "was edited after it was written"),
        (lambda kept: {"step_p50_ms": 0.25}, "has no digest of its own"),
        (lambda kept: sealed(kept | {"step_p50_ms": "fast"}), "this is no measurement"),
        (lambda kept: [kept], "found a list of 1"),
    ],
)
def test_a_damaged_one_is_refused_by_name(tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(change(sealed(BENCH.model_dump(mode="json")))))
    with pytest.raises(InputError, match=rf"a\.json.*{message}.*delete the file and run"):
        speed._kept(path)
