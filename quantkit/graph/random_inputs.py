"""Inputs for a graph about which only its types and shapes are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

SEED = 20261201
#: What open sizes become, and what integers are: indices at random, or all the same.
_ATTEMPTS = ((4, None), (16, None), (1, None), (4, 1), (16, 1), (1, 0), (64, None))
#: Elements that are made up, in all files together.
_MOST = 1 << 26
_INDICES = 8
#: Types that random numbers can be made of.
_KNOWN = {
    *(ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.BOOL),
    *(ir.DataType.INT8, ir.DataType.INT16, ir.DataType.INT32, ir.DataType.INT64),
    *(ir.DataType.UINT8, ir.DataType.UINT16, ir.DataType.UINT32, ir.DataType.UINT64),
}


def save_random_inputs(model: ir.Model, folder: Path) -> list[Path]:
    """Write .npz files with guesses at the inputs of one run, the likeliest first.

    Numbers are normal, integers are indices that every constant table has. No file is written
    where an input is no array, or its type is unknown to numpy, nor one that is too large.
    """
    given = [value for value in model.graph.inputs if not value.is_initializer()]
    if not all(isinstance(v.type, ir.TensorType) and v.dtype in _KNOWN for v in given):
        return []
    top, left = _smallest_table(model), _MOST
    files = []
    for number, (size, integer) in enumerate(_ATTEMPTS):
        rng = np.random.default_rng(SEED)
        sizes = [[size, size] if value.shape is None else value.shape for value in given]
        shapes = [[n if isinstance(n, int) else size for n in axes] for axes in sizes]
        elements = sum(map(math.prod, shapes))
        if elements > left or any(min(shape, default=0) < 0 for shape in shapes):
            continue
        left -= elements
        path = folder / f"random-{number}.npz"
        arrays = {
            str(value.name): _numbers(rng, value, shape, top if integer is None else integer)
            for value, shape in zip(given, shapes, strict=True)
        }
        np.savez(path, allow_pickle=False, **arrays)
        files.append(path)
    return files


def _numbers(
    rng: np.random.Generator, value: ir.Value, shape: list[int], integer: range | int
) -> NDArray[Any]:
    kind = value.dtype.numpy() if value.dtype is not None else np.dtype(np.float32)
    if kind.kind == "f":
        return rng.standard_normal(shape, np.float32).astype(kind)
    if kind.kind == "b":
        return rng.integers(0, 2, shape).astype(kind)
    if isinstance(integer, int):
        return np.full(shape, integer, kind)
    return rng.integers(integer.start, integer.stop, shape).astype(kind)


def _smallest_table(model: ir.Model) -> range:
    """The indices that all constant tables have, from 0."""
    sizes = [_INDICES]
    for node in model.graph.all_nodes():
        if node.op_type in {"Gather", "GatherElements"} and node.inputs and node.inputs[0]:
            tensor = ir.convenience.get_const_tensor(node.inputs[0])
            axis = node.attributes.get_int("axis", 0)
            if tensor is not None and -len(tensor.shape) <= axis < len(tensor.shape):
                sizes.append(int(tensor.shape.numpy()[axis]))
    return range(max(1, min(sizes)))
