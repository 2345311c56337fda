from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from quantkit.build.onnx_file import quantize_file
from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.graph.files import load_model
from quantkit.quantize.schemes.rtn import round_to_nearest
from quantkit.quantize.settings import (
    FileScheme,
    Int8DynamicSettings,
    OrtDynamicSettings,
    RtnSettings,
    Rule,
)
from quantkit.quantize.storage.blocks import QuantizedMatrix
from quantkit.quantize.storage.stored import dequantized, stored_tensors
from tests.quantize.graphs import matrix, run, save_graph, two_layers


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
def test_what_quantkit_stored_is_read_back_by_the_float_names(
    tmp_path: Path, bits: int, symmetric: bool
) -> None:
    settings = RtnSettings(
        symmetric=symmetric, rules=(Rule(match="net/*", bits=bits, block_size=16),)
    )
    quantize_file(two_layers(tmp_path / "net.onnx"), settings, tmp_path / "small.onnx", Silent())

    read = dict(dequantized(tmp_path / "small.onnx"))

    assert list(read) == ["first.weight", "second.weight"]
    for name, weight in (
        ("first.weight", matrix(40, 24, 1)),
        ("second.weight", np.ascontiguousarray(matrix(9, 24, 2).T)),
    ):
        found, wanted = read[name], round_to_nearest(weight, bits, 16, symmetric=symmetric)
        assert isinstance(found, QuantizedMatrix)
        assert (found.bits, found.block_size, found.rows) == (bits, 16, weight.shape[0])
        np.testing.assert_array_equal(found.codes, wanted.codes)
        np.testing.assert_array_equal(found.dequantize(), wanted.dequantize())
    second = stored_tensors(load_model(tmp_path / "small.onnx"))[1]
    assert second.shape == (24, 9)
    assert second.transposed, "a Gemm holds [N, K]"


def test_a_table_is_read_as_the_runtime_looks_it_up(tmp_path: Path) -> None:
    path = save_graph(
        tmp_path / "net.onnx",
        [helper.make_node("Gather", ["table", "rows"], ["y"])],
        {},
        ["y"],
        {"table": matrix(5, 64), "rows": np.arange(5)},
    )
    quantize_file(path, RtnSettings(block_size=32), tmp_path / "small.onnx", Silent())
    ((name, table),) = dequantized(tmp_path / "small.onnx")
    assert name == "table"
    assert isinstance(table, QuantizedMatrix)
    np.testing.assert_array_equal(run(tmp_path / "small.onnx")[0], table.dequantize().T)


@pytest.mark.parametrize(
    "settings", [RtnSettings(), Int8DynamicSettings(), OrtDynamicSettings()], ids=lambda s: s.scheme
)
def test_a_name_that_ends_as_those_of_turned_tensors_do_is_kept(
    tmp_path: Path, settings: FileScheme
) -> None:
    names = ["w_transposed", "w_q4", "w_Transposed"]
    path = save_graph(
        tmp_path / "net.onnx",
        [helper.make_node("MatMul", ["x", name], [f"y{name}"]) for name in names],
        {"x": [1, 32]},
        [f"y{name}" for name in names],
        {name: matrix(32, 32, seed) for seed, name in enumerate(names)},
    )
    quantize_file(path, settings, tmp_path / "small.onnx", Silent())
    stored = stored_tensors(load_model(tmp_path / "small.onnx"))
    assert [tensor.name for tensor in stored] == names
    assert not any(tensor.transposed for tensor in stored)


def test_files_without_metadata_are_read_by_the_names_of_their_tensors(tmp_path: Path) -> None:
    quantize_file(two_layers(tmp_path / "net.onnx"), RtnSettings(), tmp_path / "new.onnx", Silent())
    model = load_model(tmp_path / "new.onnx")
    new = {t.name: (t.shape, t.transposed, t.nbytes) for t in stored_tensors(model)}
    for value in model.graph.initializers.values():
        value.metadata_props.clear()
    old = {t.name: (t.shape, t.transposed, t.nbytes) for t in stored_tensors(model)}
    assert old == new


def test_shared_codes_are_read_once_and_float_zero_points_refused(tmp_path: Path) -> None:
    constants: dict[str, NDArray[Any]] = {
        "w_Q4": np.zeros((8, 1, 16), np.uint8),
        "w_scales": np.ones(8, np.float32),
        "w_zero_point": np.full(8, 7.5, np.float32),
    }
    nodes = [
        helper.make_node(
            "MatMulNBits",
            ["x", *constants],
            [output],
            domain="com.microsoft",
            K=32,
            N=8,
            bits=4,
            block_size=32,
            name=output,
        )
        for output in "yz"
    ]
    path = save_graph(tmp_path / "float.onnx", nodes, {"x": [1, 32]}, ["y", "z"], constants)
    (tensor,) = stored_tensors(load_model(path))
    assert (tensor.name, tensor.nbytes) == ("w", 8 * 16 + 2 * 8 * 4)
    with pytest.raises(InputError, match=r"'y': found codes .* FLOAT, UINT8; accepted: UINT8"):
        tensor.read()


def test_several_scales_without_blocks_are_refused(tmp_path: Path) -> None:
    constants: dict[str, NDArray[Any]] = {
        "w_quantized": np.zeros((4, 2), np.uint8),
        "w_scale": np.ones(2, np.float32),
        "w_zero_point": np.zeros(2, np.uint8),
        "other_quantized": np.zeros((4, 2), np.uint8),
    }
    graph = helper.make_graph(
        [
            helper.make_node("MatMulInteger", ["x", "w_quantized"], ["y"]),
            helper.make_node("MatMulInteger", ["x", "other_quantized"], ["z"]),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 4])],
        [helper.make_tensor_value_info(name, TensorProto.INT32, None) for name in "yz"],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(graph), tmp_path / "channels.onnx")
    (tensor,) = stored_tensors(load_model(tmp_path / "channels.onnx"))
    with pytest.raises(InputError, match="'w': found 2 scales"):
        tensor.read()
