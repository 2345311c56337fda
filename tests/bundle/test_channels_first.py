from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from hypothesis import given, settings
from hypothesis import strategies as st

from quantkit.bundle.channels_first import put_channels_first
from quantkit.graph.names import MICROSOFT


def convolution(channels: int, kernel: int, steps: int, *, bias: bool) -> ir.Model:
    """One time-major causal convolution with its cache."""
    chance = np.random.default_rng(0)

    def value(name: str, shape: list[int]) -> ir.Value:
        return ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(shape))

    def constant(name: str, shape: list[int]) -> ir.Value:
        tensor = ir.tensor(chance.standard_normal(shape, np.float32), name=name)
        return ir.Value(name=name, const_value=tensor, shape=ir.Shape(shape))

    x, cache = value("x", [2, steps, channels]), value("c", [2, kernel - 1, channels])
    weight, offset = constant("w", [channels, 1, kernel]), constant("b", [channels])
    inputs = [x, weight, offset if bias else None, cache]
    node = ir.node(
        "CausalConvWithState", inputs, {"channels_last": 1}, domain=MICROSOFT, num_outputs=2
    )
    for output, name, rows in zip(node.outputs, ("y", "n"), (steps, kernel - 1), strict=True):
        like = value(name, [2, rows, channels])
        output.name, output.type, output.shape = name, like.type, like.shape
    constants = [weight, offset] if bias else [weight]
    graph = ir.Graph(
        [x, cache],
        node.outputs,
        nodes=[node],
        initializers=constants,
        opset_imports={"": 21, MICROSOFT: 1},
    )
    return ir.Model(graph, ir_version=10)


def run(model: ir.Model, x: np.ndarray, cache: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString())
    return list(session.run(["y", "n"], {"x": x, "c": cache}))


@given(
    channels=st.integers(1, 5),
    kernel=st.integers(2, 5),
    steps=st.integers(1, 7),
    bias=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_only_the_order_of_axes_changes(channels: int, kernel: int, steps: int, bias: bool) -> None:
    chance = np.random.default_rng(1)
    x = chance.standard_normal((2, steps, channels), np.float32)
    cache = chance.standard_normal((2, kernel - 1, channels), np.float32)
    model = convolution(channels, kernel, steps, bias=bias)
    y, following = run(model, x, cache)
    model.graph.inputs[1].shape = ir.Shape([2, channels, kernel - 1])
    assert put_channels_first(model) == 1
    turned_y, turned_following = run(model, x, cache.transpose(0, 2, 1))
    np.testing.assert_allclose(turned_y, y, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(turned_following, following.transpose(0, 2, 1))
    assert put_channels_first(model) == 0


def test_what_has_its_channels_first_stays() -> None:
    model = convolution(2, 3, 4, bias=True)
    (node,) = model.graph
    del node.attributes["channels_last"]
    assert put_channels_first(model) == 0
    assert [one.op_type for one in model.graph] == ["CausalConvWithState"]
