"""Run an artifact over an utterance with everything that parity looks at kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantkit.core.divergence import log_softmax
from quantkit.runtime.decoders.greedy import GreedyDecoder, Token, greedy_path
from quantkit.runtime.decoders.transducer import Transducer
from quantkit.runtime.encoders.cache_aware import EncoderStep
from quantkit.runtime.encoders.chunks import Chunk, ChunkWindows
from quantkit.runtime.mel import LogMel
from quantkit.runtime.settings import StreamingSettings
from quantkit.runtime.transcriber import Transcriber

Array = NDArray[np.float32]


@dataclass(frozen=True)
class CandidateUtterance:
    """`chunks`: per chunk the encoder's valid frames, float32 [frames, d_model]."""

    chunks: list[Array]
    tokens: list[Token]


def run(artifact: Transcriber, samples: Array) -> CandidateUtterance:
    """Stream samples, float32 [n] at the artifact's rate, as `transcribe` does."""
    settings = artifact.settings
    encoder = EncoderStep(artifact.encoder, settings)
    decoder = GreedyDecoder(artifact.transducer, settings.max_symbols)
    hypothesis = decoder.start()
    chunks = []
    for window in windows(settings, samples):
        encoded = encoder.step(window)
        chunks.append(encoded[0])
        decoder.extend([hypothesis], encoded, [encoded.shape[1]])
    return CandidateUtterance(chunks, hypothesis.tokens)


def windows(settings: StreamingSettings, samples: Array) -> list[Chunk]:
    """What the encoder sees of samples, float32 [n] at the artifact's rate, chunk by chunk."""
    mel = LogMel(settings.mel, settings.sample_rate)
    cutter = ChunkWindows(settings)
    frames = np.concatenate([mel.push(samples), mel.flush()])
    return [*cutter.push(frames), *cutter.flush()]


def log_probabilities(
    transducer: Transducer, encoded: Array, tokens: Sequence[int], token_frames: Sequence[int]
) -> NDArray[np.float64]:
    """Teacher-forced log-probabilities of the joint along a given path.

    Args:
        transducer: the prediction network and joint that are asked.
        encoded: float32 [frames, d_model].
        tokens: of the path.
        token_frames: the frame of each token.

    Returns:
        float64 [frames + tokens, V + 1], one row a decision, in the path's order.
    """
    rows, states = greedy_path(len(encoded), token_frames)
    prediction = transducer.start()
    logits = []
    for state in range(len(tokens) + 1):
        frames = encoded[rows[states == state]]
        logits.append(transducer.logits(frames[None], [prediction])[0])
        if state < len(tokens):
            [prediction] = transducer.advance([prediction], [tokens[state]])
    return log_softmax(np.concatenate(logits))
