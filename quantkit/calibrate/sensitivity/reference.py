"""What the float32 model says about speech: computed once, compared with often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantkit.core.files import sha256_json
from quantkit.core.progress import Progress
from quantkit.runtime import trace
from quantkit.runtime.encoders.chunks import Chunk
from quantkit.runtime.transcriber import Transcriber
from quantkit.speech.manifest import Recording
from quantkit.speech.reading import read_recording


@dataclass(frozen=True)
class FloatUtterance:
    """One utterance in float32.

    Attributes:
        windows: what the encoder sees, chunk by chunk.
        encoded: what it makes of them, float32 [frames, d_model].
        tokens: of the greedy path.
        token_frames: the frame of each token.
        log_probabilities: of the decisions along the path, float64 [frames + tokens, V + 1].
    """

    windows: list[Chunk]
    encoded: NDArray[np.float32]
    tokens: list[int]
    token_frames: list[int]
    log_probabilities: NDArray[np.float64]


def float_utterances(
    model: Path, recordings: Sequence[Recording], progress: Progress
) -> list[FloatUtterance]:
    """Stream recordings through the float32 graphs of a model directory.

    Raises:
        InputError: the model or a recording cannot be used.
    """
    transcriber = Transcriber.load(model, threads=1)
    return [
        _float_utterance(transcriber, recording)
        for recording in progress.track(recordings, len(recordings), "float32")
    ]


def facts(utterances: Sequence[FloatUtterance]) -> dict[str, Any]:
    """What tells this reference apart from another one."""
    return {
        "frames": sum(len(utterance.encoded) for utterance in utterances),
        "tokens": sum(len(utterance.tokens) for utterance in utterances),
        "paths_sha256": sha256_json(
            [[utterance.tokens, utterance.token_frames] for utterance in utterances]
        ),
    }


def _float_utterance(transcriber: Transcriber, recording: Recording) -> FloatUtterance:
    samples = read_recording(recording, transcriber.settings.sample_rate)
    found = trace.run(transcriber, samples)
    encoded = np.concatenate(found.chunks)
    tokens, frames = [token.id for token in found.tokens], [token.frame for token in found.tokens]
    return FloatUtterance(
        windows=trace.windows(transcriber.settings, samples),
        encoded=encoded,
        tokens=tokens,
        token_frames=frames,
        log_probabilities=trace.log_probabilities(transcriber.transducer, encoded, tokens, frames),
    )
