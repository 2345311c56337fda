from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from quantkit.bundle.rewiring import Rewiring
from quantkit.core.errors import InputError

FLOAT = ir.DataType.FLOAT


@pytest.fixture
def model() -> ir.Model:
    """y = a - b, z = a + b."""
    a, b = (ir.Value(name=name, type=ir.TensorType(FLOAT), shape=ir.Shape([1, 4])) for name in "ab")
    nodes = [ir.node(kind, [a, b]) for kind in ("Sub", "Add")]
    for node, name in zip(nodes, "yz", strict=True):
        node.outputs[0].name = name
    outputs = [node.outputs[0] for node in nodes]
    return ir.Model(ir.Graph([a, b], outputs, nodes=nodes, opset_imports={"": 21}), ir_version=10)


def test_a_graph_gets_other_ends(model: ir.Model) -> None:
    wiring = Rewiring(model, "toy")
    both = wiring.input("both", FLOAT, [1, 8])
    left, right = wiring.ops("Split", [both, wiring.ints(4, 4)], 2, axis=1)
    wiring.feed("a", right)
    wiring.feed("b", left)
    wiring.output("a", wiring.reshape(wiring.rows(wiring.take("y"), 1, 3), 2, 1), FLOAT, [2, 1])
    rewired = wiring.finish()
    # What leads to no output any more is gone; names of old inputs are free.
    assert "Add" not in {node.op_type for node in rewired.graph}
    session = ort.InferenceSession(ir.to_proto(rewired).SerializeToString())
    (found,) = session.run(["a"], {"both": np.arange(8, dtype=np.float32)[None]})
    np.testing.assert_array_equal(found, [[4.0], [4.0]])


def test_an_input_that_nothing_reads_stays(model: ir.Model) -> None:
    wiring = Rewiring(model, "toy")
    for name in ("b", "a"):
        wiring.feed(name, wiring.input(name, FLOAT, [1, 4]))
    wiring.input("unused", FLOAT, [1])
    wiring.output("sum", wiring.take("z"), FLOAT, [1, 4])
    session = ort.InferenceSession(ir.to_proto(wiring.finish()).SerializeToString())
    assert [node.name for node in session.get_inputs()] == ["b", "a", "unused"]


def test_another_graph_is_told_by_its_ends(model: ir.Model) -> None:
    wiring = Rewiring(model, "encoder.onnx")
    with pytest.raises(InputError, match=r"encoder\.onnx: has no 'x'; found y, z"):
        wiring.take("x")
    wiring.feed("a", wiring.input("a", FLOAT, [1, 4]))
    with pytest.raises(InputError, match=r"encoder\.onnx: has no 'a'; found b"):
        wiring.feed("a", wiring.ints(1))
    with pytest.raises(InputError, match=r"encoder\.onnx: has the inputs b too"):
        wiring.finish()
