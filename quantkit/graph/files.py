"""Read and write ONNX files with their weights beside them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from quantkit.core.errors import InputError
from quantkit.core.files import sync_tree

# Smaller tensors stay in the protobuf.
EXTERNAL_BYTES = 1024


def load_model(path: Path) -> ir.Model:
    """Open a model; external weights stay on disk until they are read.

    Raises:
        InputError: there is no such file, or it is not an ONNX model.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; an ONNX model is needed")
    try:
        model = ir.load(path)
    except (DecodeError, ValueError) as error:
        raise InputError(f"{path}: this is not an ONNX model ({error})") from error
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor) and not Path(tensor.path).is_file():
            raise InputError(
                f"{path}: the weights of {value.name!r} are in {tensor.path}, which does not "
                "exist; keep the data file beside the model"
            )
    return model


def save_model(model: ir.Model, path: Path) -> None:
    """Write a model as `path` and `path`.data; each file is complete or absent.

    The same model gives the same bytes: tensors are laid out in the order of the initializers.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = f"{path.name}.data"
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as name:
        temporary = Path(name)
        ir.save(
            model, temporary / path.name, external_data=data, size_threshold_bytes=EXTERNAL_BYTES
        )
        sync_tree(temporary)
        # The data first: a model without its data would not load.
        if (temporary / data).exists():
            (temporary / data).replace(path.parent / data)
        (temporary / path.name).replace(path)
