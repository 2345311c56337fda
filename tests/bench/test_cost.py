from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.bench.cost import multiply_adds, step_bytes
from quantkit.bench.profile import Kernel, profile_steps
from quantkit.bench.step import TimedStep
from quantkit.runtime.sessions import open_session
from tests.bench.graphs import STEPS, WIDTH, write_encoder


@pytest.mark.parametrize(
    ("op", "inputs", "output", "expected"),
    [
        ("MatMul", [(2, 7, 64)], (2, 7, 32), 2 * 7 * 64 * 32),
        ("MatMul", [(7, 64), (8, 64, 32)], (8, 7, 32), 8 * 7 * 64 * 32),
        ("FusedMatMul", [(8, 64, 7), (8, 64, 32)], (8, 7, 32), 8 * 7 * 64 * 32),
        ("MatMulNBits", [(1, 7, 64), (32, 2)], (1, 7, 32), 7 * 64 * 32),
        ("Conv", [(1, 16, 12), (32, 4, 3)], (1, 32, 10), 10 * 32 * 4 * 3),
        ("CausalConvWithState", [(1, 16, 7), (16, 1, 9), (1, 16, 8)], (1, 16, 7), 7 * 16 * 9),
        ("MultiHeadAttention", [(1, 7, 64), (1, 77, 64), (1, 77, 64)], (1, 7, 64), 2 * 7 * 77 * 64),
        ("MultiHeadAttention", [(1, 7, 64), (1, 4, 77, 16)], (1, 7, 64), 2 * 7 * 77 * 64),
        ("Softmax", [(1, 7, 64)], (1, 7, 64), 0),
    ],
)
def test_an_operator_costs_what_its_shapes_say(
    op: str, inputs: list[tuple[int, ...]], output: tuple[int, ...], expected: int
) -> None:
    assert multiply_adds([Kernel(op, 0.0, tuple(inputs), (output,))]) == expected


def test_keys_that_an_attention_joins_to_past_ones_count() -> None:
    past = Kernel("Attention", 0.0, ((1, 4, 7, 16), (1, 4, 7, 16)), ((1, 4, 7, 16), (1, 4, 77, 16)))
    assert multiply_adds([past]) == 2 * 4 * 7 * 77 * 16


@pytest.mark.parametrize("folded", [True, False])
def test_what_the_runtime_folds_away_costs_nothing(tmp_path: Path, folded: bool) -> None:
    """A product of two constants is folded, one with the features is not."""
    chance = np.random.default_rng(0)
    a, b = (chance.normal(size=(80, 80)).astype(np.float32) for _ in range(2))
    nodes = [helper.make_node("MatMul", ["a" if folded else "x", "b"], ["p"])]
    nodes.append(helper.make_node("Add", ["x", "p"], ["y"]))
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 80, 80]) for n in "xy"]
    constants = [numpy_helper.from_array(a, "a"), numpy_helper.from_array(b, "b")]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], constants)
    path = tmp_path / "encoder.onnx"
    opset = [helper.make_opsetid("", 21)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    assert multiply_adds(profile_steps(path, 1)[0]) == (0 if folded else 80**3)


def test_weights_count_as_stored_and_caches_both_ways(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "encoder.onnx")
    ports = TimedStep(open_session(path, 1), path).ports
    constants = 3 * 2 * 8  # start, end and axes of the slice
    caches = 2 * (STEPS * WIDTH * 4 + 8)
    assert step_bytes(path, ports) == constants + caches


def test_the_demo_encoder_multiplies_each_stored_weight_once_a_frame(demo_artifact: Path) -> None:
    """Most of an encoder's work is frames times weights; the stem works at a finer rate."""
    graph = demo_artifact / "encoder.onnx"
    steps = profile_steps(graph, 1)
    products = [kernel for kernel in steps[0] if kernel.op in ("MatMul", "Gemm")]
    assert products
    found = multiply_adds(steps[0])
    weights = step_bytes(graph, TimedStep(open_session(graph, 1), graph).ports) / 4
    assert 7 * weights * 0.8 < found < 7 * weights * 1.5
