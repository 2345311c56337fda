"""The calibrate stage: how large the inputs of every weight matrix are on real speech."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from quantkit.calibrate.speech import ObservedModel
from quantkit.core.errors import InputError
from quantkit.core.progress import Progress
from quantkit.core.speech import read_manifest


def calibrate(model: Path, manifest: Path, out: Path, progress: Progress) -> None:
    """Write `out`/moments.npz: "graph/tensor" -> mean squared input per row, float32 [K].

    Every recording streams through the float32 graphs in chunks with caches and is decoded, so the
    inputs are those of use, first chunks and silence included. Sums are float64 and in the order of
    the manifest: the same model and speech give the same bytes.

    Args:
        model: directory with the graphs and streaming.json.
        manifest: JSON lines that name the recordings.
        out: existing directory.
        progress: told about each recording.

    Raises:
        InputError: the manifest, a recording or the model cannot be used.
    """
    utterances = read_manifest(manifest)
    observed = ObservedModel(model)
    frames = 0
    for utterance in progress.track(utterances, len(utterances), "calibrate"):
        frames += observed.listen(utterance.audio)
    if not frames:
        raise InputError(f"{manifest}: the recordings are too short for a single encoder frame")
    statistics = {
        f"{graph}/{name}": mean.astype(np.float32)
        for graph, session in observed.sessions.items()
        for name, mean in session.mean_squares().items()
    }
    _write(out / "moments.npz", statistics)


def _write(path: Path, arrays: dict[str, NDArray[np.float32]]) -> None:
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as name:
        temporary = Path(name) / path.name
        np.savez(temporary, allow_pickle=False, **arrays)
        temporary.replace(path)
