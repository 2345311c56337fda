from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.bench.profile import STEPS, Kernel, by_operator, profile_steps
from tests.bench.graphs import STEPS as FRAMES
from tests.bench.graphs import WIDTH, write_encoder


def kernel(op: str, seconds: float) -> Kernel:
    return Kernel(op, seconds, (), ())


def test_every_step_has_every_kernel_with_the_shapes_that_it_saw(tmp_path: Path) -> None:
    steps = profile_steps(write_encoder(tmp_path / "encoder.onnx"), 1)
    assert len(steps) == STEPS
    for step in steps:
        operators = {found.op: found for found in step}
        assert operators.keys() >= {"Slice", "Add"}
        assert operators["Slice"].outputs == ((1, FRAMES, WIDTH),)
        assert all(found.seconds >= 0 for found in step)


def test_times_are_summed_by_operator_and_the_middle_step_counts() -> None:
    steps = [
        [kernel("Add", 0.001), kernel("MatMul", 0.003), kernel("MatMul", 0.001)],
        [kernel("Add", 0.001), kernel("MatMul", 0.002), kernel("MatMul", 0.002)],
        [kernel("Add", 0.001), kernel("MatMul", 9.0), kernel("MatMul", 9.0)],
    ]
    first, second = by_operator(steps)
    assert (first["op"], first["calls"]) == ("MatMul", 2)
    assert first["ms_per_step"] == pytest.approx(4)
    assert first["share"] == pytest.approx(0.8)
    assert (second["op"], second["calls"]) == ("Add", 1)
