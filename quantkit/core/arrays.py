"""Arrays by name from .npz files."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantkit.core.errors import InputError


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of an existing .npz file.

    Raises:
        InputError: it is another file, or an array of it is damaged or holds objects.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in archive.files}
    # An .npy file is an array, which is no context manager: a TypeError. A damaged directory of the
    # archive may ask for a password, another compression, or more memory than there is.
    except (
        TypeError,
        ValueError,
        OSError,
        EOFError,
        LookupError,
        MemoryError,
        RuntimeError,
        SyntaxError,
        struct.error,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InputError(f"{path}: this is not an .npz archive of arrays ({error})") from error
