"""What the sensitivity stage leaves: the damage that each tensor did at each width.

A sensitivity is a directory with `sensitivity.json`; damage is KL(float32 || quantized) in nats per
decision of the joint, with this one tensor quantized.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict, cast

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


_COUNT, _MEASURED = shapes.integer(), shapes.number(-1e300, 1e300)
MEASURED_CHOICE = shapes.record(
    {
        "bits": _COUNT,
        "block_size": _COUNT,
        "bytes": _COUNT,
        "relative_error": _MEASURED,
        "kl_mean": _MEASURED,
        "kl_p99": _MEASURED,
        "flips": _MEASURED,
    }
)
_SENSITIVITY = shapes.record(
    {
        "scheme": shapes.record({}),
        "utterances": _COUNT,
        "decisions": _COUNT,
        "reference": shapes.record({}),
        "tensors": shapes.array(
            shapes.record(
                {
                    "name": shapes.text,
                    "shape": shapes.array(_COUNT, 2),
                    "parameters": _COUNT,
                    "choices": shapes.array(MEASURED_CHOICE),
                }
            )
        ),
    }
)


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
