"""Damaged ONNX files through `quantize`: bytes at random, and graphs that are wrong in one way."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SCHEMES = (
    {"scheme": "rtn", "bits": 4},
    {"scheme": "kquant", "bits": 2, "block_size": 32},
    {"scheme": "gptq", "bits": 4},
    {"scheme": "int8-dynamic"},
    {"scheme": "ort-dynamic-int8"},
)
Mutation = Callable[[onnx.ModelProto, random.Random], None]


def seed_model(kind: int) -> onnx.ModelProto:
    """A small valid model: products, a table that a product shares, a loop, or a branch."""
    weight = np.random.default_rng(kind).standard_normal((16, 16)).astype(np.float32)
    constants = {"w": weight, "b": weight[0], "ids": np.array([1, 3, 0])}
    match kind:
        case 0:
            nodes = [
                helper.make_node("MatMul", ["x", "w"], ["m"], name="one"),
                helper.make_node("Relu", ["m"], ["r"]),
                helper.make_node("Gemm", ["r", "w", "b"], ["y"], name="two", transB=1),
            ]
        case 1:
            nodes = [
                helper.make_node("Gather", ["w", "ids"], ["rows"], name="look"),
                helper.make_node("MatMul", ["x", "rows"], ["a"])
                if kind < 0
                else helper.make_node("MatMul", ["rows", "w"], ["y0"], name="product"),
                helper.make_node("ReduceMean", ["y0"], ["mean"], keepdims=0),
                helper.make_node("Add", ["x", "mean"], ["y"]),
            ]
        case 2:
            body = helper.make_graph(
                [
                    helper.make_node("MatMul", ["state", "inner"], ["next"]),
                    helper.make_node("Identity", ["again"], ["on"]),
                ],
                "body",
                [
                    helper.make_tensor_value_info("step", TensorProto.INT64, []),
                    helper.make_tensor_value_info("again", TensorProto.BOOL, []),
                    helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
                ],
                [
                    helper.make_tensor_value_info("on", TensorProto.BOOL, []),
                    helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
                ],
                [numpy_helper.from_array(weight, "inner")],
            )
            constants["steps"] = np.array(2)
            nodes = [
                helper.make_node("Loop", ["steps", "", "x"], ["looped"], body=body),
                helper.make_node("MatMul", ["looped", "w"], ["y"]),
            ]
        case _:
            kernel = weight[:, :, None]
            constants["kernel"] = kernel
            nodes = [
                helper.make_node("Unsqueeze", ["x", "axes"], ["x3"]),
                helper.make_node("Transpose", ["x3"], ["t"], perm=[0, 2, 1]),
                helper.make_node("Conv", ["t", "kernel"], ["c"], kernel_shape=[1]),
                helper.make_node("Transpose", ["c"], ["back"], perm=[0, 2, 1]),
                helper.make_node("Transpose", ["w"], ["turned"], perm=[1, 0]),
                helper.make_node("MatMul", ["back", "turned"], ["y"]),
            ]
            constants["axes"] = np.array([0])
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
