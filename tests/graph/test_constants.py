from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir

from quantkit.graph.constants import add_constant, read_constant
from quantkit.graph.files import load_model
from tests.quantize.graphs import matrix, two_layers


def test_values_outlive_the_file_that_they_were_mapped_from(tmp_path: Path) -> None:
    model = load_model(two_layers(tmp_path / "net.onnx", external=True))
    tensor = model.graph.initializers["first.weight"].const_value
    assert isinstance(tensor, ir.ExternalTensor)
    values = read_constant(tensor)
    assert tensor.raw is None, "the file is closed"
    assert values.flags.writeable
    assert values.flags.c_contiguous
    np.testing.assert_array_equal(values, matrix(40, 24, 1))
    np.testing.assert_array_equal(read_constant(tensor), values)


def test_a_constant_is_an_initializer_under_the_name_of_its_tensor(tmp_path: Path) -> None:
    graph = load_model(two_layers(tmp_path / "net.onnx")).graph
    value = add_constant(graph, ir.tensor(np.ones((2, 3), np.float32), name="more"))
    assert graph.initializers["more"] is value
    assert value.dtype == ir.DataType.FLOAT
    assert value.shape == ir.Shape([2, 3])
