"""What the sensitivity stage leaves: the damage that each tensor did at each width.

A sensitivity is a directory with `sensitivity.json`; damage is KL(float32 || quantized) in nats per
decision of the joint, with this one tensor quantized.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict, cast, get_type_hints

from quantkit.core import shapes
from quantkit.core.errors import InputError
from quantkit.core.strict_json import read_json

SENSITIVITY = "sensitivity.json"


class MeasuredChoice(TypedDict):
    """One tensor at one width.

    `bytes` are those of codes, scales and zero points; `relative_error` is of the weights;
    `flips` the share of decisions whose best symbol changed.
    """

    bits: int
    block_size: int
    bytes: int
    relative_error: float
    kl_mean: float
    kl_p99: float
    flips: float


class MeasuredTensor(TypedDict):
    """One tensor as "graph/tensor", its shape (K, N) and what each width does to it."""

    name: str
    shape: list[int]
    parameters: int
    choices: list[MeasuredChoice]


class Sensitivity(TypedDict):
    """The content of sensitivity.json.

    `scheme` are the settings of the algorithm; `reference` tells the float32 path apart from
    another one: its frames, its tokens and a digest of both.
    """

    scheme: dict[str, Any]
    utterances: int
    decisions: int
    reference: dict[str, Any]
    tensors: list[MeasuredTensor]


_SHAPES: dict[object, shapes.Shape] = {
    int: shapes.integer(),
    float: shapes.number(-1e300, 1e300),
    str: shapes.text,
    list[int]: shapes.array(shapes.integer(), 2),
    dict[str, Any]: shapes.record({}),
}


def _shape(content: type) -> shapes.Shape:
    """A record with the keys of a TypedDict."""
    return shapes.record({key: _SHAPES[kind] for key, kind in get_type_hints(content).items()})


MEASURED_CHOICE = _shape(MeasuredChoice)
_SHAPES[list[MeasuredChoice]] = shapes.array(MEASURED_CHOICE)
_SHAPES[list[MeasuredTensor]] = shapes.array(_shape(MeasuredTensor))
_SENSITIVITY = _shape(Sensitivity)


def load_sensitivity(directory: Path) -> Sensitivity:
    """Read a sensitivity directory.

    Raises:
        InputError: the file is missing or not what the sensitivity stage writes.
    """
    path = directory / SENSITIVITY
    try:
        content = read_json(path)
        _SENSITIVITY(content, str(path))
    except InputError as error:
        raise InputError(f"{error}; the sensitivity stage writes it") from error
    return cast("Sensitivity", content)
