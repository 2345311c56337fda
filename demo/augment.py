"""Augmentation of log-mel frames: what it saves is synthesizing every variant as audio."""

from __future__ import annotations

import numpy as np

#: The front end's logarithm of nothing.
FLOOR = float(np.log(2.0**-24))


def augment(
    mel: np.ndarray, rng: np.random.Generator, narrow: bool, stretch: bool, at_least: int
) -> np.ndarray:
    """A changed copy of (frames, mels): tempo, vocal tract, level, bandwidth, noise, masks.

    `narrow` lets half of the clips lose what lies above 5.5 kHz or so, as the game's recordings
    do; `stretch` permits another tempo, never below `at_least` frames.
    """
    if stretch:
        mel = _resample(mel, max(at_least, int(len(mel) * rng.uniform(0.88, 1.14))))
    mel = _warp(mel, rng.uniform(0.92, 1.09))
    mel = mel + rng.uniform(-2.5, 2.0)
    if narrow and rng.random() < 0.5:
        mel[:, int(rng.uniform(0.8, 0.92) * mel.shape[1]) :] = FLOOR
    if rng.random() < 0.4:
        mel = np.logaddexp(mel, _noise(mel, rng))
    mel = np.maximum(mel, FLOOR).astype(np.float32)
    level = mel.mean()
    for _ in range(2):
        width, length = rng.integers(0, 14), rng.integers(0, min(14, len(mel) // 8) + 1)
        low, start = rng.integers(0, mel.shape[1] - width), rng.integers(0, len(mel) - length)
        mel[:, low : low + width] = level
        mel[start : start + length] = level
    return mel


def _noise(mel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stationary noise of a random tilt, 5 to 30 dB below the clip's louder parts."""
    loud = np.quantile(mel[:: max(1, len(mel) // 50)], 0.9)
    tilt = np.linspace(0.0, rng.uniform(-4.0, 1.0), mel.shape[1], dtype=np.float32)
    grain = rng.standard_normal(mel.shape, dtype=np.float32) * 0.6
    return loud - rng.uniform(1.5, 7.0) + tilt + grain


def _resample(mel: np.ndarray, frames: int) -> np.ndarray:
    """Linear interpolation along time to `frames` frames."""
    position = np.linspace(0, len(mel) - 1, frames, dtype=np.float32)
    below = np.minimum(position.astype(np.int64), len(mel) - 2)
    share = (position - below)[:, None]
    return mel[below] * (1 - share) + mel[below + 1] * share


def _warp(mel: np.ndarray, factor: float) -> np.ndarray:
    """Linear interpolation along the mel axis: a longer or shorter vocal tract."""
    mels = mel.shape[1]
    position = np.minimum(np.arange(mels, dtype=np.float32) * factor, mels - 1)
    below = np.minimum(position.astype(np.int64), mels - 2)
    share = position - below
    return mel[:, below] * (1 - share) + mel[:, below + 1] * share
