"""Damaged ONNX files through `quantize`: bytes at random, and graphs that are wrong in one way."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from quantkit.build.onnx_file import quantize_file
from quantkit.core.progress import Silent
from quantkit.graph import apart
from quantkit.quantize.settings import parse_settings
from tests.fuzz.trial import damaged, rounds, trial

pytestmark = pytest.mark.slow

SCHEMES: tuple[dict[str, Any], ...] = (
    {"scheme": "rtn"},
    {"scheme": "kquant", "bits": 2},
    {"scheme": "gptq"},
    {"scheme": "int8-dynamic"},
    {"scheme": "ort-dynamic-int8"},
)
NAMES = (
    *("", "x", "y", "w", "w_q4", "w_scales", "w_transposed_q4", "x_codes", "rows_one"),
    *("one_scaled", "w_quantized", "w_scale", "é\u2028/", "a" * 5000, "../w"),
)
SIZES = (0, -1, 1, 2, 3, 16, 2**31, 2**40, 2**62, -(2**63))
OPERATORS = (
    *("MatMul", "Gemm", "Gather", "Conv", "Loop", "If", "Scan", "MatMulNBits", "Identity"),
    *("GatherBlockQuantized", "Shape", "Constant", "ConstantOfShape", "Reshape", "Expand", "Tile"),
    *("LSTM", "ReduceMax", "Transpose", "SequenceAt", "QuickGelu"),
)
Mutation = Callable[[onnx.ModelProto, random.Random], None]


def seed_model(kind: int) -> onnx.ModelProto:
    """A small valid model: products, a shared table, a loop, or a convolution and a transpose."""
    weight = np.random.default_rng(kind).standard_normal((16, 16)).astype(np.float32)
    constants: dict[str, NDArray[Any]] = {"w": weight}
    match kind:
        case 0:
            constants["b"] = weight[0]
            nodes = [
                helper.make_node("MatMul", ["x", "w"], ["m"], name="one"),
                helper.make_node("Relu", ["m"], ["r"]),
                helper.make_node("Gemm", ["r", "w", "b"], ["y"], name="two", transB=1),
            ]
        case 1:
            constants["ids"] = np.array([1, 3, 0])
            nodes = [
                helper.make_node("Gather", ["w", "ids"], ["rows"], name="look"),
                helper.make_node("MatMul", ["rows", "w"], ["m"], name="product"),
                helper.make_node("ReduceMean", ["m"], ["mean"], keepdims=0),
                helper.make_node("Add", ["x", "mean"], ["y"]),
            ]
        case 2:
            constants["steps"] = np.array(2)
            nodes = [
                helper.make_node("Loop", ["steps", "", "x"], ["looped"], body=_body(weight)),
                helper.make_node("MatMul", ["looped", "w"], ["y"]),
            ]
        case _:
            constants |= {"kernel": weight[:, :, None], "axes": np.array([0])}
            nodes = [
                helper.make_node("Unsqueeze", ["x", "axes"], ["wide"]),
                helper.make_node("Transpose", ["wide"], ["first"], perm=[0, 2, 1]),
                helper.make_node("Conv", ["first", "kernel"], ["c"], kernel_shape=[1]),
                helper.make_node("Transpose", ["c"], ["last"], perm=[0, 2, 1]),
                helper.make_node("Transpose", ["w"], ["turned"], perm=[1, 0]),
                helper.make_node("MatMul", ["last", "turned"], ["y"]),
            ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def _body(weight: NDArray[np.float32]) -> onnx.GraphProto:
    value = helper.make_tensor_value_info
    return helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "inner"], ["next"]),
            helper.make_node("Identity", ["again"], ["on"]),
        ],
        "body",
        [
            value("step", TensorProto.INT64, []),
            value("again", TensorProto.BOOL, []),
            value("state", TensorProto.FLOAT, None),
        ],
        [value("on", TensorProto.BOOL, []), value("next", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "inner")],
    )


def _graph(model: onnx.ModelProto, chance: random.Random) -> onnx.GraphProto:
    inner = [a.g for n in model.graph.node for a in n.attribute if a.HasField("g")]
    return chance.choice([model.graph, *inner])


def rename(model: onnx.ModelProto, chance: random.Random) -> None:
    node, new = chance.choice(_graph(model, chance).node), chance.choice(NAMES)
    match chance.randrange(3):
        case 0:
            node.name = new
        case 1 if node.input:
            node.input[chance.randrange(len(node.input))] = new
        case _:
            node.output[chance.randrange(len(node.output))] = new


def change_tensor(model: onnx.ModelProto, chance: random.Random) -> None:
    tensor = chance.choice(_graph(model, chance).initializer)
    match chance.randrange(7):
        case 0:
            tensor.name = chance.choice(NAMES)
        case 1:
            tensor.data_type = chance.randrange(26)
        case 2 if tensor.dims:
            tensor.dims[chance.randrange(len(tensor.dims))] = chance.choice(SIZES)
        case 3:
            tensor.dims.append(chance.choice(SIZES))
        case 4:
            tensor.raw_data = tensor.raw_data[: chance.randrange(len(tensor.raw_data))]
        case 5:
            tensor.data_location = TensorProto.EXTERNAL
            for key in chance.sample(("location", "offset", "length"), 2):
                value = chance.choice(("w.bin", "../x", "/etc/passwd", "-1", "1e3", "9" * 30, ""))
                tensor.external_data.add(key=key, value=value)
        case _ if tensor.data_type == TensorProto.FLOAT:
            array = numpy_helper.to_array(tensor).copy()
            worst = chance.choice((np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45))
            array.flat[chance.randrange(array.size)] = worst
            tensor.raw_data = array.tobytes()


def change_node(model: onnx.ModelProto, chance: random.Random) -> None:
    node = chance.choice(_graph(model, chance).node)
    match chance.randrange(4):
        case 0 if node.attribute:
            attribute = chance.choice(node.attribute)
            attribute.i, attribute.type = chance.choice(SIZES), onnx.AttributeProto.INT
        case 1 if node.attribute:
            del node.attribute[chance.randrange(len(node.attribute))]
        case 2:
            name = chance.choice(("perm", "axis", "transB", "alpha", "to", "bits", "K", "N"))
            value = chance.choice((1, -1, 2**40, [1, 0], [0, 0], "s", 1.5))
            node.attribute.append(helper.make_attribute(name, value))
        case _:
            node.op_type = chance.choice(OPERATORS)
            node.domain = chance.choice(("", "", "com.microsoft", "ai.onnx.ml", "x"))


def change_structure(model: onnx.ModelProto, chance: random.Random) -> None:
    graph = _graph(model, chance)
    node, other = chance.choice(graph.node), chance.choice(graph.node)
    tensor = chance.choice(graph.initializer)
    match chance.randrange(8):
        case 0:
            graph.node.append(node)
        case 1:
            graph.node.remove(node)
        case 2:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            graph.node.remove(node)
            graph.node.insert(chance.randrange(len(graph.node) + 1), copy)
        case 3:
            node.input[chance.randrange(len(node.input))] = other.output[0]
        case 4:
            model.graph.sparse_initializer.add(values=tensor, dims=[16, 16])
        case 5:
            graph.initializer.append(tensor)
        case 6:
            kind = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            chance.choice((graph.input, graph.output)).append(kind)
        case _:
            del node.input[chance.randrange(len(node.input))]


def change_ports(model: onnx.ModelProto, chance: random.Random) -> None:
    graph = _graph(model, chance)
    value = chance.choice([*graph.input, *graph.output])
    match chance.randrange(4):
        case 0:
            value.name = chance.choice(NAMES)
        case 1:
            value.type.tensor_type.elem_type = chance.randrange(24)
        case 2:
            value.type.tensor_type.shape.dim.add().dim_value = chance.choice(SIZES)
        case _:
            value.type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT


def change_model(model: onnx.ModelProto, chance: random.Random) -> None:
    match chance.randrange(5):
        case 0:
            model.ir_version = chance.choice((0, 1, 3, 4, 9, 13, 99, -1))
        case 1:
            model.opset_import[0].version = chance.choice((0, 1, 7, 11, 13, 20, 25, 99, -5))
        case 2:
            del model.opset_import[:]
        case 3:
            model.opset_import.add(domain=chance.choice(("", "com.microsoft", "x")))
        case _:
            name, domain = chance.choice((("MatMul", ""), ("F", "x")))
            model.functions.add(name=name, domain=domain, node=model.graph.node)


MUTATIONS: Sequence[Mutation] = (
    *(rename, change_tensor, change_node, change_structure, change_ports, change_model),
)


def mutated(seed: int) -> bytes:
    chance = random.Random(seed)
    model = seed_model(seed % 4)
    if chance.random() < 0.3:
        return damaged(model.SerializeToString(), seed)
    for mutation in chance.sample(MUTATIONS, chance.choice((1, 1, 2))):
        mutation(model, chance)
    return model.SerializeToString()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    path = tmp_path_factory.mktemp("runs") / "run.npz"
    x = np.random.default_rng(5).standard_normal((40, 16)).astype(np.float32)
    np.savez(path, allow_pickle=False, x=x)
    return [path]


def test_damaged_models_are_quantized_or_refused(
    tmp_path: Path, runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "SECONDS", 5.0)
    model, out = tmp_path / "m.onnx", tmp_path / "out" / "o.onnx"
    for scheme in SCHEMES:
        for kind in range(4):  # compiles the loops, and shows that the seeds are sound
            model.write_bytes(seed_model(kind).SerializeToString())
            settings = parse_settings(scheme)
            given = runs if settings.needs_activations else []
            quantize_file(model, settings, out, Silent(), given)
    refused = 0
    trials = rounds(60, 1000)
    for seed in trials:
        shutil.rmtree(out.parent, ignore_errors=True)
        model.write_bytes(mutated(seed))
        settings = parse_settings(SCHEMES[seed // 4 % len(SCHEMES)])
        given = runs if settings.needs_activations else []
        message = trial(
            lambda s=settings, g=given: quantize_file(model, s, out, Silent(), g),  # type: ignore[misc]
            f"seed {seed}, {settings.scheme}",
        )
        refused += message is not None
        assert out.is_file() == (message is None), f"seed {seed}"
        left = {path.name for path in out.parent.iterdir()} if out.parent.exists() else set()
        assert left <= {out.name, f"{out.name}.data"}, f"seed {seed}"
    assert 0.3 * len(trials) < refused < len(trials)
