"""Second moments of what the weight matrices are multiplied with, as the calibration leaves them.

A calibration is a directory: `moments.npz` holds the mean squared input of every matrix,
"graph/tensor" -> float32 [K]; `hessians.json` names, for every matrix whose full matrix of second
moments was asked for, a file `hessians/NAME.npy`, float32 [K, K]. Matrices with the same input
share a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantkit.core.arrays import read_npz
from quantkit.core.errors import InputError
from quantkit.core.strict_json import read_json

MOMENTS, HESSIANS = "moments.npz", "hessians.json"


@dataclass(frozen=True)
class InputMoments:
    """Second moments of the inputs x of one matrix.

    Attributes:
        diagonal: E[x_k^2], float64 [K]: what an error of the weights in row k costs.
        second: E[x_j x_k], float32 [K, K], or the .npy file of it; None if it was not measured.
    """

    diagonal: NDArray[np.float64]
    second: NDArray[np.float32] | Path | None = None

    @property
    def hessian(self) -> NDArray[np.float32] | None:
        """E[x_j x_k]; a file is open only as long as the array that is mapped from it is used."""
        return _open(self.second) if isinstance(self.second, Path) else self.second

    @classmethod
    def uniform(cls, rows: int) -> InputMoments:
        """Inputs that are alike and independent, which is what a lookup table has."""
        return cls(np.ones(rows), np.eye(rows, dtype=np.float32))

    def divided(self, scale: NDArray[np.floating]) -> InputMoments:
        """The moments of x / scale, scale [K]."""
        inverse = 1.0 / np.asarray(scale, np.float64)
        hessian = self.hessian
        if hessian is not None:
            hessian = (hessian * inverse[:, None] * inverse).astype(np.float32)
        return InputMoments(self.diagonal * inverse**2, hessian)


Moments = Mapping[str, InputMoments]


def load_moments(calibration: Path) -> dict[str, InputMoments]:
    """Read a calibration directory; Hessians stay on disk until they are used.

    Raises:
        InputError: a file is missing or damaged, or a mean square is no finite number from 0 up.
    """
    path = calibration / MOMENTS
    if not path.is_file():
        raise InputError(f"{path}: no such file; the calibration stage writes it")
    diagonals = {name: np.asarray(array, np.float64) for name, array in read_npz(path).items()}
    for name, vector in diagonals.items():
        if vector.ndim != 1 or not np.isfinite(vector).all() or (vector < 0).any():
            raise InputError(
                f"{path}: {name!r} {list(vector.shape)} is not a vector or has a NaN, infinite or "
                "negative value; a vector of mean squared inputs is needed"
            )
    files = calibration / HESSIANS
    listed = read_json(files) if files.is_file() else {}
    moments = {
        name: InputMoments(vector, calibration / listed[name] if name in listed else None)
        for name, vector in diagonals.items()
    }
    for each in moments.values():
        _ = each.hessian  # refused now, if it cannot be read
    return moments


def moments_of(moments: Moments, name: str, rows: int, *, hessian: bool) -> InputMoments:
    """The moments of one matrix.

    Raises:
        InputError: there are none of `rows` inputs under this name, no Hessian among them, or one
            with numbers that are not finite.
    """
    if name not in moments:
        raise InputError(
            f"{name!r} has no activation statistics (there are {len(moments)} entries); "
            "calibrate this very model, or choose a scheme that needs none"
        )
    own = moments[name]
    matrix = own.hessian
    sizes = {own.diagonal.size, *(() if matrix is None else matrix.shape)}
    if sizes != {rows}:
        raise InputError(
            f"{name!r} takes {rows} inputs, its activation statistics have "
            f"{', '.join(map(str, sorted(sizes)))}; calibrate this very model"
        )
    if hessian and matrix is None:
        raise InputError(
            f"{name!r} has mean squared inputs but no Hessian, which gptq needs; calibrate with "
            "Hessians (quantkit calibrate --hessians)"
        )
    if hessian and matrix is not None and not np.isfinite(np.sum(matrix, dtype=np.float64)):
        raise InputError(
            f"{name!r}: second moments of its inputs are NaN, or too large for float32, whose "
            "limit is 3.4e38; calibrate on inputs as the model has them in use, or choose a scheme "
            "that needs no Hessians, such as kquant"
        )
    return own


def _open(path: Path) -> NDArray[np.float32]:
    try:
        array: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as an .npy array: {error}") from error
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.dtype != np.float32:
        raise InputError(
            f"{path}: found {array.dtype} {list(array.shape)}, accepted: float32 [K, K]"
        )
    return array
