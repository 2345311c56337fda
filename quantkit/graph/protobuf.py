"""What is wrong with the tensors of an ONNX file, seen before anything is read or allocated."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_ir as ir

from quantkit.core.errors import InputError

#: How deep graphs lie in graphs; protobuf itself ends at a hundred messages.
_DEEPEST = 20
#: Both names of ONNX's own operators.
_STANDARD = {"", "ai.onnx"}
#: The repeated field that may hold a type's elements instead of raw bytes.
_FIELDS = {
    "float_data": {"FLOAT", "COMPLEX64"},
    "double_data": {"DOUBLE", "COMPLEX128"},
    "int64_data": {"INT64"},
    "uint64_data": {"UINT64", "UINT32"},
    "string_data": {"STRING"},
}


def check_tensors(path: Path, model: onnx.ModelProto) -> None:
    """Refuse tensors that are not what they say.

    Raises:
        InputError: a tensor is sparse, nameless or twice there, has an impossible shape or type,
            or more or fewer bytes than its shape needs; a node lacks inputs or outputs.
    """
    graphs = list(_graphs(model.graph, 0, path))
    for graph in graphs:
        if graph.sparse_initializer:
            name = graph.sparse_initializer[0].values.name
            raise InputError(
                f"{path}: tensor {name!r} is a sparse initializer, which is not read here; store "
                "it densely"
            )
        names = [tensor.name for tensor in graph.initializer]
        if len(set(names)) < len(names) or "" in names:
            twice = next(name for name in names if names.count(name) > 1 or not name)
            raise InputError(
                f"{path}: there are several initializers, or one without a name, "
                f"where {twice!r} stands; each needs a name of its own"
            )
        for tensor in graph.initializer:
            _check(path, tensor)
    version = max((o.version for o in model.opset_import if o.domain in _STANDARD), default=0)
    for node in (node for owner in (*graphs, *model.functions) for node in owner.node):
        _check_ports(path, node, version)
        for attribute in node.attribute:
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                raise InputError(
                    f"{path}: node {node.name!r} ({node.op_type}) holds a sparse tensor, which is "
                    "not read here; store it densely"
                )
            for tensor in (attribute.t, *attribute.tensors):
                if tensor.data_type or tensor.dims:
                    _check(path, tensor)


def _check_ports(path: Path, node: onnx.NodeProto, version: int) -> None:
    """Refuse a node that lacks inputs or outputs of its operator, which rewrites count on."""
    if node.domain not in _STANDARD or not onnx.defs.has(node.op_type):
        return
    try:
        schema = onnx.defs.get_schema(node.op_type, version)
    except onnx.defs.SchemaError:  # an operator that is newer; ONNX Runtime says so
        return
    for what, found, needed in (
        ("inputs", len(node.input), schema.min_input),
        ("outputs", len(node.output), schema.min_output),
    ):
        if found < needed:
            raise InputError(
                f"{path}: node {node.name!r} ({node.op_type}) has {found} {what}, needs {needed}"
            )


def _check(path: Path, tensor: onnx.TensorProto) -> None:
    dims = list(tensor.dims)
    where = f"{path}: tensor {tensor.name!r} {dims if len(dims) < 10 else len(dims)}"
    if any(size < 0 for size in dims):
        raise InputError(f"{where} has a negative size")
    count = math.prod(dims)
    if tensor.data_type not in onnx.TensorProto.DataType.values() or not tensor.data_type:
        raise InputError(f"{where} has the type {tensor.data_type}, which ONNX does not know")
    kind = onnx.TensorProto.DataType.Name(tensor.data_type)
    if tensor.HasField("segment"):
        raise InputError(f"{where} is stored in segments, which nobody reads")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        if kind == "STRING":
            raise InputError(f"{where} holds texts outside of the file, which ONNX does not know")
        return
    # Types of less than a byte share one; those above have an element each, complex ones two.
    bits = 8 if kind == "STRING" else ir.DataType(tensor.data_type).bitwidth
    if kind == "STRING" or not tensor.HasField("raw_data"):
        field = next((f for f, kinds in _FIELDS.items() if kind in kinds), "int32_data")
        eighths = 16 if kind.startswith("COMPLEX") else min(bits, 8)
        found, needed = len(getattr(tensor, field)), -(-count * eighths // 8)
        unit = f"elements in {field}"
    else:
        found, needed, unit = len(tensor.raw_data), -(-count * bits // 8), "bytes"
    if found != needed:
        raise InputError(f"{where} of type {kind} needs {needed} {unit}, has {found}")


def _graphs(graph: onnx.GraphProto, depth: int, path: Path) -> Iterator[onnx.GraphProto]:
    if depth > _DEEPEST:
        raise InputError(f"{path}: graphs lie more than {_DEEPEST} deep in graphs")
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _graphs(inner, depth + 1, path)
