"""Augmentation keeps to the length wanted, to its seed and to what a front end can print."""

import numpy as np
import pytest

from demo.augment import FLOOR, _behind, _loudness, _room, augment, pace


@pytest.fixture
def mel() -> np.ndarray:
    rng = np.random.default_rng(3)
    return (rng.normal(-9, 3, size=(240, 128))).clip(FLOOR).astype(np.float32)


@pytest.mark.parametrize("least", [0, 300])
def test_tempo_wanders_from_end_to_end(least: int) -> None:
    lengths = set()
    for seed in range(30):
        places = pace(240, least, np.random.default_rng(seed))
        assert (places[0], places[-1]) == pytest.approx((0, 239), abs=1e-3)
        assert least <= len(places)
        speed = np.diff(places)
        assert speed.min() > 0
        assert 1.1 < speed.max() / speed.min() < 5
        lengths.add(len(places))
    assert lengths == {300} if least else max(lengths) - min(lengths) > 30


@pytest.mark.parametrize("frames", [200, 240, 270])
def test_length_seed_and_floor(mel: np.ndarray, frames: int) -> None:
    places = np.linspace(0, 239, frames, dtype=np.float32)
    for seed in range(30):
        once, again = (
            augment(mel, np.random.default_rng(seed), True, places, mel[:90]) for _ in range(2)
        )
        assert once.shape == (frames, 128)
        assert once.dtype == np.float32
        assert np.isfinite(once).all()
        assert once.min() >= FLOOR
        assert (once == again).all()


def test_rooms_decay_behind_the_sound() -> None:
    click = np.full((100, 128), FLOOR, np.float32)
    click[20] = 0.0
    heard = _room(click, np.random.default_rng(0))
    np.testing.assert_allclose(heard[:20], FLOOR, atol=0.7)  # a room adds to the floor, too
    np.testing.assert_allclose(heard[20], 0.0, atol=1e-3)
    tail = heard[21:60].mean(1)
    assert (np.diff(tail) <= 1e-3).all()
    assert tail[0] > FLOOR + 5


def test_voices_behind_are_softer(mel: np.ndarray) -> None:
    babble = mel[::-1][:100] + 4
    for seed in range(10):
        behind = _behind(mel, babble, np.random.default_rng(seed))
        assert behind.shape == mel.shape
        # 8 to 20 dB in nepers of power; a quantile of another cut of the clip is not exact.
        assert 1.2 < _loudness(mel) - _loudness(behind) < 5.2
