"""Second moments of many inputs, added up row by row: sums of squares, and whole matrices on disk.

A matrix of moments is a memory-mapped file, so the operating system writes parts of it out when
memory is short. Its room on the disk is taken before it is mapped, because a full disk under a
mapping kills the process; it is open only while something is added. One thread multiplies for one
input: sums do not depend on the number of cores.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import ssyrk
from threadpoolctl import threadpool_limits

from quantkit.core.files import require_space, write_json

_SQUARES, _ROWS = "squares.npz", "rows.json"
#: Rows of a matrix that are made whole at a time.
_STRIPE = 256

Rows = Sequence[NDArray[np.float32]]


class MomentSums:
    """Sums over the rows x of named inputs: x_k^2 in float64 and, on request, x_j x_k in float32.

    Attributes:
        rows: rows added so far, by input.
    """

    def __init__(self, folder: Path, channels: Mapping[str, int], *, hessians: bool) -> None:
        """Begin with no rows.

        Args:
            folder: a new directory for the files of the matrices, [K, K] each.
            channels: K of every input.
            hessians: whether to add up matrices.

        Raises:
            InputError: the disk has no room for the matrices.
        """
        folder.mkdir()
        self._folder = folder
        self.rows = dict.fromkeys(channels, 0)
        self._squares = {name: np.zeros(size) for name, size in channels.items()}
        self._matrices = {
            name: _zeros(folder / f"{name}.npy", size)
            for name, size in channels.items()
            if hessians
        }

    def add(self, rows: Mapping[str, Rows]) -> None:
        """Add the rows, float32 [R, K] pieces, of some inputs."""
        with (
            threadpool_limits(1, user_api="blas"),
            ThreadPoolExecutor(os.cpu_count()) as pool,
        ):
            list(pool.map(self._add, rows.keys(), rows.values()))

    def save(self, folder: Path) -> None:
        """Write everything that `restore` needs into an existing directory."""
        np.savez(folder / _SQUARES, allow_pickle=False, **self._squares)
        write_json(folder / _ROWS, self.rows)
        for name, path in self._matrices.items():
            shutil.copyfile(path, folder / f"{name}.npy")

    def restore(self, folder: Path) -> None:
        """Go on from where `save` was called, with the same inputs."""
        with np.load(folder / _SQUARES, allow_pickle=False) as archive:
            self._squares = dict(archive)
        self.rows = json.loads((folder / _ROWS).read_text(encoding="utf-8"))
        for name, path in self._matrices.items():
            _open(path)[:] = np.load(folder / f"{name}.npy", mmap_mode="r")

    def mean_squares(self, name: str) -> NDArray[np.float64]:
        """Mean of x_k^2 over the rows of an input, float64 [K]."""
        return self._squares[name] / self.rows[name]

    def move_hessian(self, name: str, path: Path) -> None:
        """Make the file of an input's matrix the mean of x_j x_k, float32 [K, K], under `path`.

        Nothing can be added to this input afterwards.
        """
        source = self._matrices.pop(name)
        matrix = _open(source)
        scale = np.float32(1 / self.rows[name])
        for first in range(0, len(matrix), _STRIPE):
            stripe = matrix[first : first + _STRIPE, first:]
            stripe *= scale
            square = stripe[:, : len(stripe)]
            square[:] = np.triu(square) + np.triu(square, 1).T
            matrix[first + len(stripe) :, first : first + len(stripe)] = stripe[:, len(stripe) :].T
        shutil.move(source, path)

    def _add(self, name: str, pieces: Rows) -> None:
        if not pieces:
            return
        rows = np.concatenate(pieces)
        self.rows[name] += len(rows)
        self._squares[name] += np.einsum("rk,rk->k", rows, rows, dtype=np.float64)
        if name in self._matrices:
            # In Fortran's order the matrix is its transpose, and only one triangle is written.
            matrix = _open(self._matrices[name])
            ssyrk(1.0, rows.T, beta=1.0, c=matrix.T, lower=1, overwrite_c=1)


def hessian_bytes(channels: Iterable[int]) -> int:
    """Bytes of the matrices of inputs with so many channels."""
    return 4 * sum(size**2 for size in channels)


def _zeros(path: Path, size: int) -> Path:
    """Write a matrix of zeros, [size, size], on room of its own."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (size, size)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        require_space(path.parent, 4 * size**2, "the Hessians")
        os.posix_fallocate(file.fileno(), file.tell(), 4 * size**2)
    return path


def _open(path: Path) -> NDArray[np.float32]:
    return np.lib.format.open_memmap(path, "r+")
