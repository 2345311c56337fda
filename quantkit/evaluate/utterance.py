"""One utterance of an artifact against what PyTorch recorded of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantkit.evaluate.parity import UtteranceParity, compare
from quantkit.runtime import trace
from quantkit.runtime.trace import CandidateUtterance
from quantkit.runtime.transcriber import Transcriber


@dataclass(frozen=True)
class Reference:
    """What PyTorch computed for one utterance.

    Attributes:
        tokens: of the greedy path.
        token_frames: the encoder frame of each token, from the start of the utterance.
        encoded: float32 [frames, d_model], the encoder's output.
        chunks: int64, frames of each chunk.
        log_probabilities: float32 [frames + tokens, V + 1], of each decision along the path.
    """

    tokens: list[int]
    token_frames: list[int]
    encoded: NDArray[np.float32]
    chunks: NDArray[np.int64]
    log_probabilities: NDArray[np.float32]


def compare_utterance(
    artifact: Transcriber, found: CandidateUtterance, reference: Reference
) -> UtteranceParity:
    """Compare what an artifact made of an utterance with the reference.

    Raises:
        ValueError: the encoders disagree on the number of frames: the graphs are of another model.
    """
    frames = np.concatenate([reference.encoded[:0], *found.chunks])
    return compare(
        list(zip(reference.tokens, reference.token_frames, strict=True)),
        [(token.id, token.frame) for token in found.tokens],
        np.split(reference.encoded, np.cumsum(reference.chunks)[:-1]),
        found.chunks,
        reference.log_probabilities,
        trace.log_probabilities(
            artifact.transducer, frames, reference.tokens, reference.token_frames
        ),
    )
