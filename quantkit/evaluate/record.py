"""What one system said about one utterance, and what PyTorch computed on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantkit.evaluate.words import WordErrors


@dataclass(frozen=True)
class Divergence:
    """How far a system is from PyTorch with the same chunk length, on one utterance.

    Attributes:
        kl: KL(PyTorch || system) in nats of each decision along PyTorch's greedy path.
        encoder_errors: largest absolute error of the encoder's output, chunk by chunk.
        near_tie: the first token that differs falls on a decision PyTorch barely made.
    """

    kl: list[float]
    encoder_errors: list[float]
    near_tie: bool


@dataclass(frozen=True)
class Record:
    """What one system said about one utterance.

    Attributes:
        utterance: digest of the utterance.
        tokens: of the greedy path.
        frames: the encoder frame of each token, from the start of the utterance.
        text: what the tokens spell.
        words: None where the utterance has no text.
        divergence: None for PyTorch, and for utterances that are not compared so deeply.
    """

    utterance: str
    tokens: list[int]
    frames: list[int]
    text: str
    words: WordErrors | None
    divergence: Divergence | None


@dataclass(frozen=True)
class Reference:
    """What PyTorch computed for one utterance that is compared deeply.

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
