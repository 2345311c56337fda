"""The reference stage: what NeMo says about every utterance, once for all schemes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantkit.core.files import write_json
from quantkit.core.progress import Progress
from quantkit.nemo.architecture import geometry
from quantkit.nemo.loading.checkpoint import load_checkpoint
from quantkit.nemo.reference.streaming import NemoStreamer, ReferenceUtterance
from quantkit.nemo.reference.threads import one_thread
from quantkit.speech.manifest import read_manifest
from quantkit.speech.reading import read_recording


def record_reference(
    checkpoint: Path, chunk_ms: int, manifest: Path, out: Path, progress: Progress
) -> None:
    """Stream a manifest's speech through NeMo and keep its tokens, encodings and distributions.

    Writes `reference.json`, a list in the manifest's order, and for utterance i `{i:05}.npz` with
    `encoded` float32 [frames, d_model], `chunks` int64 (frames of each chunk) and
    `log_probabilities` float32 [decisions, V + 1] along the greedy path.

    Raises:
        InputError: the checkpoint, the manifest or a recording is wrong.
    """
    utterances = read_manifest(manifest)
    model = load_checkpoint(checkpoint)
    sizes = geometry(model, chunk_ms)
    rate = int(model.cfg.preprocessor.sample_rate)
    streamer = NemoStreamer(model, sizes.left, sizes.right)
    rows = []
    work = progress.track(enumerate(utterances), len(utterances), "reference")
    for index, utterance in work:
        samples = read_recording(utterance.recording, rate)
        with one_thread():
            found = streamer.run(samples)
            np.savez(out / f"{index:05}.npz", **arrays(streamer, found))
        rows.append(
            {
                "audio": utterance.audio.name,
                "tokens": found.tokens,
                "token_frames": found.token_frames,
                "text": found.text,
            }
        )
    write_json(out / "reference.json", rows)


def arrays(streamer: NemoStreamer, found: ReferenceUtterance) -> dict[str, NDArray[Any]]:
    """What graphs are compared with: `encoded`, `chunks` and `log_probabilities` as above."""
    empty = np.zeros((0, streamer.model.joint.encoder_hidden), dtype=np.float32)
    encoded = np.concatenate([empty, *found.chunks])
    return {
        "encoded": encoded,
        "chunks": np.array([len(chunk) for chunk in found.chunks], dtype=np.int64),
        "log_probabilities": streamer.log_probabilities(encoded, found.tokens, found.token_frames),
    }
