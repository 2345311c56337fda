"""Run an artifact over an utterance with everything that parity looks at kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantkit.core.transducer import greedy_path
from quantkit.stream.chunks import ChunkWindows
from quantkit.stream.encoder import EncoderStep
from quantkit.stream.greedy import GreedyDecoder, Token
from quantkit.stream.mel import LogMel
from quantkit.stream.transcriber import Transcriber
from quantkit.verify.divergence import log_softmax

Array = NDArray[np.float32]


@dataclass(frozen=True)
class CandidateUtterance:
    """`chunks`: per chunk the encoder's valid frames, float32 [frames, d_model]."""

    chunks: list[Array]
    tokens: list[Token]


def run(artifact: Transcriber, samples: Array) -> CandidateUtterance:
    """Stream samples, float32 [n] at the artifact's rate, as `transcribe` does."""
    settings = artifact.settings
    mel = LogMel(settings.mel, settings.sample_rate)
    windows = ChunkWindows(settings)
    encoder = EncoderStep(artifact.encoder)
    decoder = GreedyDecoder(artifact.transducer, settings.max_symbols)
    frames = np.concatenate([mel.push(samples), mel.flush()])
    chunks, tokens = [], []
    for window in [*windows.push(frames), *windows.flush()]:
        encoded = encoder.step(window)
        chunks.append(encoded[0])
        tokens += decoder.decode(encoded)
    return CandidateUtterance(chunks, tokens)


def log_probabilities(
    artifact: Transcriber, encoded: Array, tokens: Sequence[int], token_frames: Sequence[int]
) -> NDArray[np.float64]:
    """Teacher-forced log-probabilities of the joint along a given path.

    Args:
        artifact: whose prediction network and joint are asked.
        encoded: float32 [frames, d_model], its own encoder's output.
        tokens: of the path.
        token_frames: the frame of each token.

    Returns:
        float64 [frames + tokens, V + 1], one row a decision, in the path's order.
    """
    rows, states = greedy_path(len(encoded), token_frames)
    prediction = artifact.transducer.start()
    logits = []
    for state in range(len(tokens) + 1):
        frames = encoded[rows[states == state]]
        logits.append(artifact.transducer.logits(frames[None], prediction))
        if state < len(tokens):
            prediction = artifact.transducer.advance(prediction, tokens[state])
    return log_softmax(np.concatenate(logits))
