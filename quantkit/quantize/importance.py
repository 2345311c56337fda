"""The activation statistics that the calibration stage leaves for importance-weighted schemes."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantkit.core.errors import InputError


def load_importance(path: Path) -> Mapping[str, NDArray[np.float64]]:
    """Read an .npz of mean squared inputs: "graph/tensor" -> float64 [K].

    Raises:
        InputError: the file is missing or is not an .npz archive, or an entry is not a vector of
            finite numbers that are not negative.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; the calibration stage writes it")
    try:
        with np.load(path, allow_pickle=False) as archive:
            entries = {name: np.asarray(archive[name], np.float64) for name in archive.files}
    except (ValueError, OSError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: this is not an .npz archive of arrays ({error})") from error
    for name, vector in entries.items():
        if vector.ndim != 1 or not np.isfinite(vector).all() or (vector < 0).any():
            raise InputError(
                f"{path}: {name!r} {list(vector.shape)} is not a vector or has a NaN, infinite or "
                "negative value; a vector of mean squared inputs is needed"
            )
    return entries


def importance_of(
    entries: Mapping[str, NDArray[np.float64]], name: str, rows: int
) -> NDArray[np.float64]:
    """Mean squared input of one tensor, float64 [rows].

    Raises:
        InputError: there is none of that length under this name.
    """
    if name not in entries:
        raise InputError(
            f"{name!r} has no activation statistics (there are {len(entries)} entries); "
            "calibrate this very model, or choose importance: weight"
        )
    if entries[name].shape != (rows,):
        raise InputError(
            f"{name!r} takes {rows} inputs, its activation statistics have {entries[name].size}; "
            "calibrate this very model"
        )
    return entries[name]
