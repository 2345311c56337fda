"""Read and write ONNX files with their weights beside them."""

from __future__ import annotations

import logging
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from quantkit.core.errors import InputError
from quantkit.core.files import PARTIAL, require_space, scratch_directory, sync_tree
from quantkit.graph.external import place_external_data
from quantkit.graph.names import make_names_unique
from quantkit.graph.protobuf import check_tensors

# It tells about odd graphs under names as they are; what is wrong with them is said elsewhere.
logging.getLogger("onnx_ir").setLevel(logging.ERROR)

# Smaller tensors stay in the protobuf.
EXTERNAL_BYTES = 1024
#: Bytes that a protobuf may have.
_LARGEST = 2**31 - 1


def load_model(path: Path) -> ir.Model:
    """Open a model; external weights stay on disk until they are read.

    Raises:
        InputError: there is no such file, it is not an ONNX model, or a tensor of it is wrong,
            stored in a way that is not known here, or not where it should be.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; an ONNX model is needed")
    size = path.stat().st_size
    if size > _LARGEST:
        raise InputError(f"{path}: has {size} bytes, an ONNX file at most {_LARGEST}")
    try:
        proto = onnx.load_model_from_string(path.read_bytes(), format="protobuf")
    except (DecodeError, ValueError) as error:
        raise InputError(f"{path}: this is not an ONNX model ({error})") from error
    check_tensors(path, proto)
    try:
        model = ir.from_proto(proto)
    # It raises whatever the first thing that it trips over raises.
    except Exception as error:
        raise InputError(f"{path}: the graph cannot be read: {_innermost(error)}") from error
    place_external_data(model, path)
    return model


def save_model(model: ir.Model, path: Path) -> None:
    """Write a model as `path` and `path`.data; each file is complete or absent.

    The same model gives the same bytes: tensors are laid out in the order of the initializers.

    Raises:
        InputError: the disk has no room for it.
    """
    make_names_unique(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    require_space(path.parent, stored_bytes(model), f"the weights of {path.name}")
    with scratch_directory(path.with_name(f".{path.name}{PARTIAL}")) as temporary:
        ir.save(
            model,
            temporary / path.name,
            format="protobuf",
            external_data=f"{path.name}.data",
            size_threshold_bytes=EXTERNAL_BYTES,
        )
        sync_tree(temporary)
        move_model(temporary / path.name, path)


def move_model(source: Path, target: Path) -> None:
    """Give a model and its data, both complete and on the same disk, their final names.

    A graph never lies beside another one's data, whenever this is cut off: an old graph goes
    first, and the new one comes last.
    """
    data, beside = source.with_name(f"{source.name}.data"), target.with_name(f"{target.name}.data")
    if data.exists() or beside.exists():
        target.unlink(missing_ok=True)
        beside.unlink(missing_ok=True)
    if data.exists():
        data.replace(beside)
    source.replace(target)


def stored_bytes(model: ir.Model) -> int:
    """Bytes of the constants of a model and its subgraphs."""
    return sum(
        value.const_value.nbytes
        for graph in model.graphs()
        for value in graph.initializers.values()
        if value.const_value is not None
    )


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"
