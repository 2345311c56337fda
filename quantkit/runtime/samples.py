"""Samples of any type as float32, and what no microphone gives as silence."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]

#: The largest magnitude that is heard, full scale being 1. Recorders with float samples go beyond
#: full scale by tens of decibels, and floats that are 16-bit integers nobody scaled reach 32768;
#: what is larger is damage. Squares of sums of these are far inside float32, as log-mel needs.
LARGEST = 32768.0

#: What an integer is divided by, and what is subtracted before: 8 unsigned bits are WAV's.
_SCALES = {
    np.dtype(np.int8): (2.0**7, 0.0),
    np.dtype(np.uint8): (2.0**7, 2.0**7),
    np.dtype(np.int16): (2.0**15, 0.0),
    np.dtype(np.int32): (2.0**31, 0.0),
}
_ACCEPTED = "float16, float32, float64 (full scale 1), int16, int32, int8 and uint8 are accepted"
_FROM_BYTES = "give numbers, with np.frombuffer(samples, np.int16) if they are 16-bit PCM"


def as_floats(samples: ArrayLike) -> tuple[Array, int]:
    """Mono samples as float32 [n], full scale 1, and how many of them were made silent.

    Integers are scaled by the range of their type. Samples that are not finite or larger than
    `LARGEST` become 0.

    Raises:
        TypeError: the samples are of a type that is no sound, or whose range is not known.
        ValueError: the samples are not one-dimensional.
    """
    if isinstance(samples, np.ndarray) and samples.dtype == np.float32 and samples.ndim == 1:
        return silence_unsound(samples)
    if isinstance(samples, (bytes, bytearray)) or (
        isinstance(samples, memoryview) and samples.itemsize == 1
    ):
        raise TypeError(f"samples are {type(samples).__name__}; {_ACCEPTED}: {_FROM_BYTES}")
    given = np.asarray(samples)
    scale = _SCALES.get(given.dtype.newbyteorder("="))
    if given.dtype.kind != "f" and scale is None:
        raise TypeError(f"samples are {given.dtype}; {_ACCEPTED}: {_conversion(given.dtype)}")
    if given.ndim != 1:
        raise ValueError(f"samples have shape {given.shape}; one channel, [n], is expected")
    if scale is not None:
        largest, middle = scale
        return ((given - middle) / largest).astype(np.float32), 0
    sound, replaced = silence_unsound(given)
    return sound.astype(np.float32, copy=False), replaced


def silence_unsound(audio: NDArray[np.floating]) -> tuple[NDArray[np.floating], int]:
    """The samples, of any shape, with 0 for those that are not heard, and how many these are.

    What is given stays as it is; where all is sound, it is what is returned.
    """
    # NaN is not smaller than anything, and what contains it has a maximum of NaN.
    if not audio.size or np.abs(audio).max() <= LARGEST:
        return audio, 0
    sound = np.abs(audio) <= LARGEST
    return np.where(sound, audio, audio.dtype.type(0)), int(audio.size - np.count_nonzero(sound))


def _conversion(dtype: np.dtype[np.generic]) -> str:
    """What to do with samples of a type that is not accepted."""
    if dtype.kind in "iu":
        return "say what their full scale is, with samples.astype(np.int16) if it is 16 bits"
    if dtype.kind == "c":
        return "take one part, with samples.real"
    if dtype.kind in "SV":
        return _FROM_BYTES
    return "give numbers, with samples.astype(np.float32) if they are such"
