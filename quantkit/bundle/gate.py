"""The numerical gate: a bundle's graphs say what the artifact's say, chunk after chunk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantkit.bundle.client import Client
from quantkit.core.errors import QuantkitError
from quantkit.runtime.decoders.transducer import Prediction, Transducer
from quantkit.runtime.encoders.cache_aware import EncoderStep
from quantkit.runtime.encoders.chunks import ChunkWindows
from quantkit.runtime.sessions import open_session
from quantkit.runtime.settings import StreamingSettings

Array = NDArray[np.float32]

# Float rounding stays below this share of the largest output. Where products are computed in
# integers a rounded input can fall into another step: then what counts is how far the artifact's
# own outputs move when its features are moved by rounding.
TOLERANCE, SLACK, ROUNDING = 5e-5, 10.0, 1e-6
# More than the chunks that it takes to fill a ring of 70 frames by the usual 7.
CHUNKS, TOKENS, SEED = 12, 8, 20261126


class BundleError(QuantkitError):
    """A layout's graphs compute something else than the artifact's, and are refused."""


def check_layout(artifact: Path, bundle: Path, layout: str, settings: StreamingSettings) -> float:
    """The largest difference to the artifact, relative to its largest output.

    Seeded noise goes as mel frames through both encoders, chunk after chunk from empty caches, in
    the runtime's own calling convention; then tokens through both prediction networks and joints.

    Raises:
        BundleError: the difference is beyond float rounding.
    """
    chance = np.random.default_rng(SEED)
    shape = (CHUNKS * settings.chunk_frames, settings.mel.n_mels)
    frames = chance.standard_normal(shape, np.float32)
    moved = frames * (1 + ROUNDING * chance.standard_normal(shape, np.float32))
    tokens = chance.integers(0, settings.vocabulary_size, TOKENS).tolist()
    client = Client(bundle, layout, settings, lambda path: open_session(path, None))
    found = list(client.encode(frames))
    found_logits = _walk(client, found[0], tokens)

    contract = settings.contract
    encoder = EncoderStep(open_session(artifact / contract.encoder.file, None), settings)
    expected, rounded = (_encode(encoder, settings, given) for given in (frames, moved))
    predictor, joint = (
        open_session(artifact / graph.file, 1) for graph in (contract.predictor, contract.joint)
    )
    expected_logits = _walk(Transducer(predictor, joint, settings), found[0], tokens)
    errors = {
        "encoder": (largest_error(expected, found), largest_error(expected, rounded)),
        "decoder and joiner": (largest_error(expected_logits, found_logits), 0.0),
    }
    for name, (error, noise) in errors.items():
        allowed = max(TOLERANCE, SLACK * noise)
        if not error <= allowed:  # also true for NaN
            raise BundleError(
                f"{layout}: {name} differ by {error:.2e} of the artifact's largest output; "
                f"float rounding stays below {allowed:.0e}. Report this graph"
            )
    return max(error for error, _ in errors.values())


def largest_error(expected: Sequence[Array], found: Sequence[Array]) -> float:
    """Largest difference of two runs, relative to the largest expected value (at least 1)."""
    a, b = (np.concatenate([part.reshape(-1) for part in run]) for run in (expected, found))
    return float(np.abs(a - b).max() / max(1.0, np.abs(a).max()))


def _encode(encoder: EncoderStep, settings: StreamingSettings, frames: Array) -> list[Array]:
    encoder.reset()
    return [encoder.step(window) for window in ChunkWindows(settings).push(frames)]


def _walk(model: Client | Transducer, encoded: Array, tokens: list[int]) -> list[Array]:
    """The joint's logits of some frames before and after each token."""
    prediction: Prediction = model.start()
    logits = [model.logits(encoded, [prediction])]
    for token in tokens:
        [prediction] = model.advance([prediction], [token])
        logits.append(model.logits(encoded, [prediction]))
    return logits
