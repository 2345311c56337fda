"""Augmentation of log-mel frames: what it saves is synthesizing every variant as audio."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

#: The front end's logarithm of nothing.
FLOOR = float(np.log(2.0**-24))
#: Frames a second.
RATE = 100


def pace(frames: int, least: int, rng: np.random.Generator) -> np.ndarray:
    """Where to read a clip of `frames` frames, for each frame of a faster or slower one.

    Its tempo wanders by a fifth or so every 0.4 s. It has at least `least` frames.
    """
    wanted = max(least, int(frames * rng.uniform(0.88, 1.14)))
    knots = rng.normal(0.0, 0.2, size=wanted // 40 + 2)
    speed = np.exp(np.interp(np.arange(wanted) / 40, np.arange(len(knots)), knots))
    places = np.cumsum(speed) - speed[0]
    return (places * ((frames - 1) / places[-1])).astype(np.float32)


def augment(
    mel: np.ndarray, rng: np.random.Generator, narrow: bool, places: np.ndarray, babble: np.ndarray
) -> np.ndarray:
    """A changed copy of (frames, mels): tempo, vocal tract, room, channel, level, noise, masks.

    `narrow` lets half of the clips lose what lies above 5.5 kHz or so, as the game's recordings
    do; `places` are from `pace`; `babble` is another clip, heard behind some.
    """
    mel = _read(mel, places)
    mel = _warp(mel, rng.uniform(0.88, 1.12))
    if rng.random() < 0.2:
        mel = _room(mel, rng)
    mel = mel + rng.uniform(-2.5, 2.0)
    if rng.random() < 0.4:
        mel = mel + _channel(mel.shape[1], rng)
    if narrow and rng.random() < 0.5:
        mel[:, int(rng.uniform(0.8, 0.92) * mel.shape[1]) :] = FLOOR
    kind = rng.random()
    if kind < 0.25:
        mel = np.logaddexp(mel, _noise(mel, rng))
    elif kind < 0.3:
        mel = np.logaddexp(mel, _behind(mel, babble, rng))
    mel = np.maximum(mel, FLOOR).astype(np.float32)
    level = mel.mean()
    for _ in range(2):
        low, width = _span(mel.shape[1], 40, rng)
        mel[:, low : low + width] = level
    for _ in range(1 + len(mel) // 100):
        start, length = _span(len(mel), 25, rng)
        mel[start : start + length] = level
    return mel


def _span(whole: int, longest: int, rng: np.random.Generator) -> tuple[int, int]:
    """Start and length of what a mask hides."""
    length = int(rng.integers(0, longest))
    return int(rng.integers(0, whole - length)), length


def _room(mel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Late reverberation as power: an exponential decay behind the direct sound (Polack's model).

    The decay takes 0.15 to 0.7 s for 60 dB and is shorter at high frequencies; the reverberant
    energy lies 0 to 15 dB below the direct.
    """
    seconds = rng.uniform(0.15, 0.7)
    bands = np.array_split(np.arange(mel.shape[1]), 4)
    power = np.exp(mel)
    for band, share in zip(bands, (1.0, 0.9, 0.75, 0.6), strict=True):
        decay = 10 ** (-6 / (seconds * share * RATE))
        gain = (1 - decay) * 10 ** (-rng.uniform(0.0, 1.5))
        power[:, band] += lfilter([0.0, gain], [1.0, -decay], power[:, band], axis=0)
    return np.log(power)


def _channel(mels: int, rng: np.random.Generator) -> np.ndarray:
    """A smooth curve over the bands, as microphones and loudspeakers have: +-6 dB or so."""
    knots = rng.normal(0.0, 0.8, size=6)
    return np.interp(np.linspace(0, 5, mels), np.arange(6), knots).astype(np.float32)


def _noise(mel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise of a random tilt, steady or swelling, 5 to 30 dB below the clip's louder parts."""
    loud = _loudness(mel)
    tilt = np.linspace(0.0, rng.uniform(-4.0, 1.0), mel.shape[1], dtype=np.float32)
    grain = rng.standard_normal(mel.shape, dtype=np.float32) * 0.6
    knots = rng.normal(0.0, rng.choice([0.0, 1.0]), size=len(mel) // 50 + 2)
    swell = np.interp(np.arange(len(mel)) / 50, np.arange(len(knots)), knots)
    return loud - rng.uniform(1.5, 7.0) + tilt + grain + swell[:, None]


def _behind(mel: np.ndarray, babble: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another clip, repeated or cut to length, 8 to 20 dB below this one."""
    start = rng.integers(len(babble))
    rows = (start + np.arange(len(mel))) % len(babble)
    return babble[rows] + _loudness(mel) - _loudness(babble) - rng.uniform(1.8, 4.6)


def _loudness(mel: np.ndarray) -> float:
    return float(np.quantile(mel[:: max(1, len(mel) // 50)], 0.9))


def _read(mel: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Linear interpolation along time."""
    below = np.minimum(places.astype(np.int64), len(mel) - 2)
    share = (places - below)[:, None]
    return mel[below] * (1 - share) + mel[below + 1] * share


def _warp(mel: np.ndarray, factor: float) -> np.ndarray:
    """Linear interpolation along the mel axis: a longer or shorter vocal tract."""
    mels = mel.shape[1]
    position = np.minimum(np.arange(mels, dtype=np.float32) * factor, mels - 1)
    below = np.minimum(position.astype(np.int64), mels - 2)
    share = position - below
    return mel[:, below] * (1 - share) + mel[:, below + 1] * share
