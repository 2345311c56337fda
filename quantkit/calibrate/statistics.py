"""The calibrate stage: second moments of every weight matrix's inputs, as in use."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quantkit.calibrate.speech import ObservedModel
from quantkit.calibrate.sums import MomentSums, hessian_bytes
from quantkit.core.errors import InputError
from quantkit.core.files import (
    PARTIAL,
    complete_directory,
    require_space,
    scratch_directory,
    sweep,
    write_json,
)
from quantkit.core.progress import Progress
from quantkit.quantize.moments import HESSIANS, MOMENTS
from quantkit.speech.manifest import Recording

REPORT = "calibration.json"
#: Bytes of rows that wait to be added up. Added in larger pieces, Hessians are touched less often.
WAITING_BYTES = 1 << 30
#: Seconds of speech after which an interrupted calibration need not begin again.
SAVE_EVERY_S = 300.0
_SAVED = "progress.json"


def calibrate(
    model: Path,
    recordings: Sequence[Recording],
    out: Path,
    scratch: Path,
    progress: Progress,
    *,
    hessians: bool,
) -> None:
    """Write `out`/moments.npz, calibration.json and, on request, hessians.json and hessians/*.npy.

    Every recording streams through the float32 graphs in chunks with caches and is decoded, so the
    inputs are those of use, first chunks and silence included. The same model and recordings give
    the same bytes, also when the calibration was killed in between and went on from `scratch`.

    At most 1 GiB of rows is in memory, beside the graphs; Hessians are files that are mapped.

    Args:
        model: directory with the graphs and streaming.json.
        recordings: audio files, or parts of them, in the order in which they are read.
        out: existing directory.
        scratch: existing directory of this very calibration: what it goes on from, and its Hessians
            while they grow.
        progress: told about each recording.
        hessians: whether to measure E[x_j x_k] of every input too.

    Raises:
        InputError: a recording or the model cannot be used, or the Hessians do not fit on the disk.
    """
    observed = ObservedModel(model)
    channels = observed.channels()
    saved, growing = scratch / "saved", scratch / "sums"
    sweep(scratch)
    shutil.rmtree(growing, ignore_errors=True)
    if hessians:
        # The growing matrices, the last saved ones and the next.
        copies = 2 if saved.exists() else 3
        needed = copies * hessian_bytes(channels.values())
        require_space(scratch, needed, "the Hessians")
    sums = MomentSums(growing, channels, hessians=hessians)
    done, frames = 0, 0
    if saved.exists():
        sums.restore(saved)
        progressed = json.loads((saved / _SAVED).read_text(encoding="utf-8"))
        done, frames = progressed["recordings"], progressed["frames"]
    frames_saved = frames
    save_every = SAVE_EVERY_S / observed.settings.encoder_frame_s
    left_to_hear = recordings[done:]
    for recording in progress.track(left_to_hear, len(left_to_hear), "calibrate"):
        for encoded in observed.listen(recording):
            frames += encoded
            if observed.kept_bytes() >= WAITING_BYTES:
                sums.add(observed.take())
        done += 1
        if frames - frames_saved >= save_every:
            sums.add(observed.take())
            with complete_directory(saved) as temporary:
                sums.save(temporary)
                write_json(temporary / _SAVED, {"recordings": done, "frames": frames})
            frames_saved = frames
    sums.add(observed.take())
    if not frames:
        raise InputError(
            f"{recordings[0]}: found no recording, among {len(recordings)}, that is long enough "
            "for a single encoder frame"
        )
    _write(observed, sums, out, hessians=hessians)
    seconds = frames * observed.settings.encoder_frame_s
    write_json(out / REPORT, _report(observed, sums, len(recordings), seconds))


def _write(observed: ObservedModel, sums: MomentSums, out: Path, *, hessians: bool) -> None:
    matrices = observed.matrices()
    moments = {name: sums.mean_squares(given) for name, given in matrices.items()}
    with scratch_directory(out / f".{MOMENTS}{PARTIAL}") as temporary:
        arrays = {name: mean.astype(np.float32) for name, mean in moments.items()}
        np.savez(temporary / MOMENTS, allow_pickle=False, **arrays)
        (temporary / MOMENTS).replace(out / MOMENTS)
    if not hessians:
        return
    folder = out / "hessians"
    folder.mkdir()
    for given in sorted(set(matrices.values())):
        sums.move_hessian(given, folder / f"{given}.npy")
    write_json(out / HESSIANS, {name: f"hessians/{given}.npy" for name, given in matrices.items()})


def _report(
    observed: ObservedModel, sums: MomentSums, recordings: int, seconds: float
) -> dict[str, Any]:
    """Per graph: matrices, distinct inputs, their largest size, and rows of the least used one."""
    graphs = {}
    for graph, session in observed.sessions.items():
        sizes = [given.channels for given in session.inputs]
        rows = [count for name, count in sums.rows.items() if name.startswith(f"{graph}-")]
        graphs[graph] = {
            "matrices": sum(len(given.matrices) for given in session.inputs),
            "inputs": len(session.inputs),
            "largest_input": max(sizes, default=0),
            "rows": min(rows, default=0),
        }
    return {"recordings": recordings, "seconds": round(seconds, 3), "graphs": graphs}
