"""Inputs that a user gives as .npz files, through any ONNX file, observed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantkit.calibrate.observe import ObservedSession
from quantkit.calibrate.sums import MomentSums, hessian_bytes
from quantkit.core.arrays import read_npz
from quantkit.core.errors import InputError
from quantkit.core.files import require_space
from quantkit.quantize.moments import InputMoments
from quantkit.runtime.sessions import LOAD_ERRORS

Inputs = dict[str, NDArray[Any]]


def load_inputs(path: Path, graph: ir.Graph) -> Inputs:
    """Read one .npz file as the inputs of one run of a graph.

    Raises:
        InputError: it is no .npz file, or an input is missing, unknown, of another dtype or shape.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; an .npz file with the model's inputs is needed")
    inputs = read_npz(path)
    declared = {str(value.name): value for value in graph.inputs if not value.is_initializer()}
    problems = [f"input {name!r} is missing" for name in declared if name not in inputs]
    problems += [f"input {name!r} is unknown" for name in inputs if name not in declared]
    problems += [
        f"input {name!r} is {array.dtype} {list(array.shape)}"
        for name, array in inputs.items()
        if name in declared and not _fits(array, declared[name])
    ]
    if problems:
        accepted = "; ".join(_describe(value) for value in declared.values())
        raise InputError(
            f"{path}: not what one run of the model takes: {'; '.join(problems)}. Accepted: "
            f"{accepted}. Write it with numpy.savez(FILE, NAME=ARRAY, ...)"
        )
    return inputs


def observe_runs(
    model: Path, runs: Iterable[Mapping[str, NDArray[Any]]], folder: Path, *, hessians: bool
) -> dict[str, InputMoments]:
    """Moments of the input of every quantizable matrix, by its name, over all runs.

    Args:
        model: a float32 ONNX file.
        runs: the model's inputs by name, one mapping for each run.
        folder: existing directory for the Hessians, which stay there.
        hessians: also measure the full matrices of second moments.

    Raises:
        InputError: the runtime refuses the model or a run, a matrix met no row of numbers, or the
            disk has no room for the Hessians.
    """
    try:
        session = ObservedSession(model)
    except LOAD_ERRORS as error:
        raise InputError(f"{model.name}: ONNX Runtime cannot load it: {error}") from error
    if not session.inputs:
        return {}  # all weights are in subgraphs, or in tables
    channels = {f"input-{n:03d}": given.channels for n, given in enumerate(session.inputs)}
    if hessians:
        require_space(folder, hessian_bytes(channels.values()), "the Hessians")
    sums = MomentSums(folder / "sums", channels, hessians=hessians)
    for number, inputs in enumerate(runs, 1):
        try:
            session.run([], inputs)
        except LOAD_ERRORS as error:
            raise InputError(f"{model.name}: calibration run {number} fails: {error}") from error
        sums.add(dict(zip(channels, session.take(), strict=True)))
    found = {}
    for name, given in zip(channels, session.inputs, strict=True):
        if not sums.rows[name] or not np.isfinite(sums.mean_squares(name)).all():
            raise InputError(
                f"{model.name}: in the calibration runs {given.matrices[0]!r} was multiplied by "
                "nothing, or by NaN or infinite numbers; give inputs as the model has them in use"
            )
        diagonal, hessian = sums.mean_squares(name), None
        if hessians:
            hessian = folder / f"{name}.npy"
            sums.move_hessian(name, hessian)
        found.update(dict.fromkeys(given.matrices, InputMoments(diagonal, hessian)))
    return found


def _fits(array: NDArray[Any], value: ir.Value) -> bool:
    """Whether an array is of the declared type and shape; sizes that are open fit anything."""
    if value.dtype is None or array.dtype != value.dtype.numpy():
        return False
    if value.shape is None:
        return True
    return len(value.shape) == array.ndim and all(
        not isinstance(wanted, int) or wanted == found
        for wanted, found in zip(value.shape, array.shape, strict=True)
    )


def _describe(value: ir.Value) -> str:
    kind = "a value that is no array" if value.dtype is None else str(value.dtype.numpy())
    shape = "any shape" if value.shape is None else f"[{', '.join(_sizes(value.shape))}]"
    return f"{value.name} {kind} {shape}"


def _sizes(shape: ir.Shape) -> Iterator[str]:
    for size in shape:
        yield str(size) if isinstance(size, int) else str(size.value or "any")
