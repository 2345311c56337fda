"""What one system said about one utterance."""

from __future__ import annotations

from dataclasses import dataclass

from quantkit.evaluate.words import WordErrors

__all__ = ["Divergence", "Record", "WordErrors"]


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
