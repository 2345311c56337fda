from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantkit.runtime.encoders.cache_aware import EncoderStep, zeros
from quantkit.runtime.encoders.chunks import Chunk
from quantkit.runtime.sessions import open_session
from quantkit.runtime.settings import StreamingSettings


@pytest.fixture(scope="module")
def session(tiny_artifact: Path) -> Any:
    return open_session(tiny_artifact / "encoder.onnx", threads=1)


@pytest.fixture(scope="module")
def sizes(tiny_artifact: Path) -> StreamingSettings:
    return StreamingSettings.load(tiny_artifact)


@pytest.fixture(scope="module")
def chunks(sizes: StreamingSettings) -> list[Chunk]:
    random = np.random.default_rng(7)
    shape = (1, sizes.window_frames, sizes.mel.n_mels)
    features = [random.normal(size=shape).astype(np.float32) for _ in range(6)]
    return [Chunk(f, 25 if i < 5 else 20) for i, f in enumerate(features)]


def fed_back_by_hand(session: Any, chunks: list[Chunk]) -> tuple[list[Any], dict[str, Any]]:
    """Plain session.run with every next cache passed as the cache."""
    names = [node.name for node in session.get_outputs()]
    caches = {node.name: zeros(node) for node in session.get_inputs()[2:]}
    results = []
    for chunk in chunks:
        feeds = {"features": chunk.features, "length": np.array([chunk.length]), **caches}
        outputs = dict(zip(names, session.run(names, feeds), strict=True))
        results.append(outputs["encoded"][:, : int(outputs["encoded_length"][0])])
        caches = {name: outputs[f"{name}_next"] for name in caches}
    return results, caches


def test_equals_feeding_caches_back_by_hand(
    session: Any, sizes: StreamingSettings, chunks: list[Chunk]
) -> None:
    expected, caches = fed_back_by_hand(session, chunks)
    step = EncoderStep(session, sizes)
    found = [step.step(chunk) for chunk in chunks]
    assert [f.shape[1] for f in found] == [2, 2, 2, 2, 2, 1]
    for mine, their in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, their)
    left = step.caches()
    assert left.keys() == caches.keys()
    for name, cache in caches.items():
        np.testing.assert_array_equal(left[name], cache)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_reset_starts_again(
    session: Any, sizes: StreamingSettings, chunks: list[Chunk], steps: int
) -> None:
    step = EncoderStep(session, sizes)
    first = [step.step(chunk) for chunk in chunks[:steps]]
    step.reset()
    assert all(not cache.any() for cache in step.caches().values())
    for mine, again in zip(first, [step.step(chunk) for chunk in chunks[:steps]], strict=True):
        np.testing.assert_array_equal(mine, again)


def test_streams_that_share_a_session_do_not_meet(
    session: Any, sizes: StreamingSettings, chunks: list[Chunk]
) -> None:
    expected, _ = fed_back_by_hand(session, chunks)
    one, two = EncoderStep(session, sizes), EncoderStep(session, sizes)
    for chunk, their in zip(chunks, expected, strict=True):
        np.testing.assert_array_equal(one.step(chunk), their)
        two.step(chunks[0])


def test_frames_are_the_callers_own(
    session: Any, sizes: StreamingSettings, chunks: list[Chunk]
) -> None:
    step = EncoderStep(session, sizes)
    first = step.step(chunks[0])
    before = first.copy()
    step.step(chunks[1])
    np.testing.assert_array_equal(first, before)
