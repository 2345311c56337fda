"""Tiny streaming encoders as other exporters would write them."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

FLOAT, INTEGER = TensorProto.FLOAT, TensorProto.INT64
FRAMES, MELS, STEPS, WIDTH = 25, 80, 2, 6


def write_encoder(path: Path, named: bool = True) -> Path:
    """An encoder of 160 ms chunks whose cache is a running sum of the features' first columns.

    `named` tells whether the next caches are called after the caches.
    """
    nodes = [
        helper.make_node("Slice", ["features", "start", "end", "axes"], ["window"]),
        helper.make_node("Add", ["cache", "window"], ["next_cache"]),
        helper.make_node("Add", ["count", "length"], ["next_count"]),
        helper.make_node("Identity", ["next_cache"], ["encoded"]),
        helper.make_node("Identity", ["length"], ["encoded_length"]),
    ]
    if named:
        for node in nodes:
            node.output[:] = [
                {"next_cache": "cache_next", "next_count": "count_next"}.get(name, name)
                for name in node.output
            ]
            node.input[:] = [{"next_cache": "cache_next"}.get(name, name) for name in node.input]
    names = ("cache_next", "count_next") if named else ("next_cache", "next_count")
    shape = [1, STEPS, WIDTH]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [
            helper.make_tensor_value_info("features", FLOAT, [1, FRAMES, MELS]),
            helper.make_tensor_value_info("length", INTEGER, [1]),
            helper.make_tensor_value_info("cache", FLOAT, shape),
            helper.make_tensor_value_info("count", INTEGER, ["batch"]),
        ],
        [
            helper.make_tensor_value_info("encoded", FLOAT, shape),
            helper.make_tensor_value_info("encoded_length", INTEGER, [1]),
            helper.make_tensor_value_info(names[0], FLOAT, shape),
            helper.make_tensor_value_info(names[1], INTEGER, ["batch"]),
        ],
        [
            helper.make_tensor("start", INTEGER, [2], [0, 0]),
            helper.make_tensor("end", INTEGER, [2], [STEPS, WIDTH]),
            helper.make_tensor("axes", INTEGER, [2], [1, 2]),
        ],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), path)
    return path
