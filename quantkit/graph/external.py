"""Weights outside of an ONNX file: found where ONNX Runtime finds them, whole, and nowhere else."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path, PurePosixPath

import onnx_ir as ir

from quantkit.core.errors import InputError

# In attributes, where nothing is written out again, larger tensors are rare.
_SMALL = 1 << 20


def place_external_data(model: ir.Model, path: Path) -> None:
    """Let the external tensors of a model that was read from `path` find their data, in place.

    Data lie in the folder of the file, or are linked to the folder of the file that `path` is a
    link to: so a hub's cache keeps them.

    Raises:
        InputError: data are missing, outside of these folders, or too short.
    """
    for graph in model.graphs():
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                value.const_value = _placed(value.const_value, path)
    for node in model.graph.all_nodes():
        for name, attribute in list(node.attributes.items()):
            if attribute.type == ir.AttributeType.TENSOR and not attribute.is_ref():
                tensor = attribute.as_tensor()
                if isinstance(tensor, ir.ExternalTensor):
                    node.attributes[name] = ir.AttrTensor(name, _near(_placed(tensor, path)))


def _near(tensor: ir.ExternalTensor) -> ir.TensorProtocol:
    """The tensor in memory if it is small: only those of initializers are written anew."""
    if tensor.nbytes > _SMALL:
        return tensor
    return ir.Tensor(tensor.numpy().copy(), dtype=tensor.dtype, name=tensor.name)


def _placed(tensor: ir.ExternalTensor, path: Path) -> ir.ExternalTensor:
    file = _file(tensor, path)
    offset, needed = tensor.offset or 0, tensor.nbytes
    length, size = tensor.length or needed, file.stat().st_size
    what = f"{path}: the weights of {tensor.name!r} {list(tensor.shape.numpy())}"
    if offset < 0 or length != needed:
        raise InputError(
            f"{what} take {needed} bytes; found offset {offset} and length {length} for them"
        )
    if offset + needed > size:
        raise InputError(
            f"{what} need {offset + needed} bytes of {file.name} (offset {offset}, length "
            f"{needed}), which has {size}: it was cut short; copy or export it again"
        )
    # In the folder it lies as written; elsewhere onnx-ir would see an attack in a link.
    plain = file.stat().st_nlink == 1 and file.resolve().is_relative_to(path.parent.resolve())
    return ir.ExternalTensor(
        tensor.location if plain else file.resolve(),
        tensor.offset,
        tensor.length or None,
        tensor.dtype,
        shape=tensor.shape,
        name=tensor.name or "",
        doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props),
        base_dir=path.parent if plain else "",
    )


def _file(tensor: ir.ExternalTensor, path: Path) -> Path:
    """The data file of a tensor.

    Raises:
        InputError: there is none, or it is outside of the model's folder.
    """
    location = str(tensor.location)
    what = f"{path}: the weights of {tensor.name!r} are in {location!r}"
    parts = PurePosixPath(location)
    # Not even to come back.
    leaves = min(accumulate(-1 if part == ".." else 1 for part in parts.parts), default=0) < 0
    if not location or "\0" in location or parts.is_absolute() or leaves:
        raise InputError(
            f"{what}, outside of the model's folder, which neither ONNX Runtime nor quantkit "
            "reads; move the data beside the model and save it again"
        )
    file = path.parent / location
    try:
        there = file.is_file()
    except OSError:  # a name that is too long
        there = False
    if not there:
        raise InputError(
            f"{what}, which does not exist or is no file; keep the data file beside the model"
        )
    real, homes = file.resolve(), (path.parent.resolve(), path.resolve().parent)
    if not any(real.is_relative_to(home) for home in homes):
        raise InputError(
            f"{what}, a link to {real}, outside of the folders of the model and of what it is a "
            "link to, which ONNX Runtime does not read; copy the data beside the model"
        )
    return file
