"""Streaming log-mel features, equal to NeMo's whole-file features for pieces of any size.

The formulas are those of NeMo's `FilterbankFeatures` (parts/preprocessing/features.py) without
dither and normalization, and of librosa's `filters.mel` with its Slaney scale and norm.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from quantkit.runtime.sizes import MelSettings

Array = NDArray[np.float32]

#: Frames computed at once: enough to amortise a call, few enough to stay in the CPU's cache.
BLOCK_FRAMES = 128
#: Multiply-adds up to which OpenBLAS stays in the calling thread. Its idle threads spin for a
#: while, on the cores that the encoder runs on.
SINGLE_THREADED = 2**18

# Slaney's mel scale: linear up to 1 kHz, logarithmic above.
_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _LINEAR_HZ_PER_MEL
    return float(_BREAK_MEL + np.log(hz / _BREAK_HZ) / _LOG_STEP)


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithmic = _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _BREAK_MEL) - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ_PER_MEL, logarithmic)


def slaney_filters(sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float) -> Array:
    """Triangular mel filters of equal area, float32 [n_mels, n_fft // 2 + 1]."""
    bins = np.fft.rfftfreq(n_fft, 1.0 / sample_rate)
    edges = _mel_to_hz(np.linspace(_hz_to_mel(f_min), _hz_to_mel(f_max), n_mels + 2))
    widths = np.diff(edges)[:, None]
    distance = bins[None, :] - edges[:, None]
    rising = distance[:-2] / widths[:-1]
    falling = -distance[2:] / widths[1:]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    area = (edges[2:] - edges[:-2])[:, None] / 2.0
    return (triangles / area).astype(np.float32)


def hann_window(length: int) -> Array:
    """The symmetric Hann window, float32 [length], with the rounding of `torch.hann_window`.

    The phase is rounded to float32 before the cosine: 2e-7, which a loud frame's faintest mels see.
    """
    phase = np.arange(length, dtype=np.float32) * np.float32(2.0 * np.pi / max(length - 1, 1))
    return (0.5 - 0.5 * np.cos(phase.astype(np.float64))).astype(np.float32)


class LogMel:
    """Turns samples into log-mel frames as soon as each frame's window is complete.

    Frame t is centered on sample `hop_length * t`; the first frames see zeros before the start.
    Results do not depend on how the audio is cut into pieces. They differ from NeMo's by the
    rounding of NeMo's single-precision FFT, which on speech is up to 8e-4 in the mels furthest
    below a frame's loudest and below 5e-5 averaged over any frame.
    """

    def __init__(self, settings: MelSettings, sample_rate: int) -> None:
        self._settings = settings
        self._window = hann_window(settings.window_length)
        self._filters = np.ascontiguousarray(
            slaney_filters(
                sample_rate, settings.n_fft, settings.n_mels, settings.f_min, settings.f_max
            ).T
        )
        capacity = settings.window_length + (BLOCK_FRAMES - 1) * settings.hop_length
        self._buffer = np.zeros(capacity, dtype=np.float32)
        self._rows = max(1, SINGLE_THREADED // self._filters.size)
        self.reset()

    def reset(self) -> None:
        """Forget all audio: the next sample is the first of a stream."""
        self._filled = self._settings.samples_before
        self._buffer[: self._filled] = 0.0
        self._previous = np.float32(0.0)
        self._samples = 0
        self._frames = 0

    def push(self, samples: ArrayLike) -> Array:
        """Take samples, [n] of any n, and return the frames they complete, float32 [m, n_mels].

        Raises:
            ValueError: the samples are not one-dimensional.
        """
        audio = np.asarray(samples, dtype=np.float32)
        if audio.ndim != 1:
            raise ValueError(f"samples have shape {audio.shape}; one channel, [n], is expected")
        frames = np.empty(
            (self._complete_frames(self._filled + len(audio)), self._settings.n_mels), np.float32
        )
        taken = done = 0
        while taken < len(audio):
            piece = audio[taken : taken + len(self._buffer) - self._filled]
            self._append(piece)
            taken += len(piece)
            done += self._drain(frames[done:])
        self._samples += len(audio)
        self._frames += done
        return frames

    def flush(self) -> Array:
        """End the stream: return its last frames, float32 [m, n_mels], and start anew.

        Like NeMo, a frame whose center lies at least one hop before the end is computed with zeros
        past the end, and one frame of exact zeros follows. No samples, no frames.
        """
        if self._samples == 0:
            return np.empty((0, self._settings.n_mels), np.float32)
        hop = self._settings.hop_length
        remaining = self._samples // hop - self._frames
        frames = np.zeros((remaining + 1, self._settings.n_mels), np.float32)
        if remaining > 0:
            needed = self._settings.window_length + (remaining - 1) * hop
            self._buffer[self._filled : needed] = 0.0
            self._filled = needed
            self._drain(frames[:remaining])
        self.reset()
        return frames

    def _complete_frames(self, samples: int) -> int:
        settings = self._settings
        return max(0, (samples - settings.window_length) // settings.hop_length + 1)

    def _append(self, piece: Array) -> None:
        """Pre-emphasise into the buffer: y[i] = x[i] - preemphasis * x[i - 1]."""
        target = self._buffer[self._filled : self._filled + len(piece)]
        factor = np.float32(-self._settings.preemphasis)
        target[0] = piece[0] + factor * self._previous
        np.multiply(piece[:-1], factor, out=target[1:])
        target[1:] += piece[1:]
        self._previous = piece[-1]
        self._filled += len(piece)

    def _drain(self, out: Array) -> int:
        """Compute every complete frame of the buffer into `out`; keep the samples still needed."""
        count = self._complete_frames(self._filled)
        if count == 0:
            return 0
        settings = self._settings
        used = count * settings.hop_length
        windows = sliding_window_view(self._buffer[: self._filled], settings.window_length)
        # Where the window lies inside n_fft changes the phase only, so it may start at 0.
        spectrum = np.fft.rfft(windows[:: settings.hop_length] * self._window, settings.n_fft)
        # Blocks of one size: BLAS adds in an order that depends on the number of rows.
        power = np.zeros((-(-count // self._rows), self._rows, len(self._filters)), np.float32)
        rows = power.reshape(-1, len(self._filters))[:count]
        np.add(np.square(spectrum.real), np.square(spectrum.imag), out=rows)
        energies = (power @ self._filters).reshape(-1, settings.n_mels)[:count]
        np.log(energies + np.float32(settings.log_guard), out=out[:count])
        self._buffer[: self._filled - used] = self._buffer[used : self._filled].copy()
        self._filled -= used
        return count
