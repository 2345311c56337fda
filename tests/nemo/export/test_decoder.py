"""Prediction network and joint as exported: what every stream of a batch is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantkit.runtime.decoders.transducer import Transducer
from quantkit.runtime.sessions import open_session
from quantkit.runtime.settings import StreamingSettings
from tests.conftest import Stage


@pytest.fixture(scope="module")
def model(fused: Stage) -> Path:
    return fused(560)


def test_streams_of_a_batch_are_told_what_each_is_told_alone(model: Path) -> None:
    settings = StreamingSettings.load(model)
    predictor, joint = (
        open_session(model / f"{name}.onnx", threads=1) for name in ("predictor", "joint")
    )
    transducer = Transducer(predictor, joint, settings)
    random = np.random.default_rng(0)
    encoded = random.normal(size=(3, 7, settings.encoder.dim)).astype(np.float32)
    together = alone = [transducer.start() for _ in encoded]
    for _ in range(4):
        tokens = random.integers(0, settings.vocabulary_size, 3).tolist()
        together = transducer.advance(together, tokens)
        alone = [
            transducer.advance([one], [token])[0] for one, token in zip(alone, tokens, strict=True)
        ]
        logits = transducer.logits(encoded, together)
        assert logits.shape == (3, 7, settings.vocabulary_size + 1)
        for row, frames, one in zip(logits, encoded, alone, strict=True):
            # Sums of 256 products in another order.
            np.testing.assert_allclose(
                row, transducer.logits(frames[None], [one])[0], rtol=0, atol=1e-4
            )
        assert np.abs(logits[0] - logits[1]).max() > 1
