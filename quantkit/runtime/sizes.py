"""The sizes that streaming.json gives: read strictly, and refused where they contradict."""

from __future__ import annotations

import math
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from quantkit.core.errors import InputError

#: Numbers in all caches of a stream; Nemotron's have 4 million.
_MOST_CACHED = 2**27

T = TypeVar("T")


@dataclass(frozen=True)
class MelSettings:
    """The log-mel front end; lengths in samples, frequencies in hertz."""

    n_fft: int
    window_length: int
    hop_length: int
    n_mels: int
    preemphasis: float
    log_guard: float
    f_min: float
    f_max: float

    @property
    def samples_before(self) -> int:
        """Samples of a frame's window that precede its center (the window is centered in n_fft)."""
        return self.n_fft // 2 - (self.n_fft - self.window_length) // 2

    @property
    def samples_after(self) -> int:
        """Samples that must follow a frame's center before the frame can be computed."""
        return self.window_length - self.samples_before


@dataclass(frozen=True)
class EncoderSettings:
    """Sizes of the encoder and of the convolution cache (frames)."""

    dim: int
    layers: int
    heads: int
    conv_cache: int


@dataclass(frozen=True)
class PredictorSettings:
    """Sizes of the prediction network's LSTM."""

    layers: int
    hidden: int


@dataclass(frozen=True)
class Sizes:
    """What an artifact's graphs and front end are made of, in numbers.

    Mel frames are counted in `chunk_frames`, `window_frames` and `leading_frames`; encoder frames
    (`subsampling_factor` mel frames each) in `left_context` and `right_context`.
    """

    sample_rate: int
    mel: MelSettings
    subsampling_factor: int
    left_context: int
    right_context: int
    chunk_frames: int
    window_frames: int
    leading_frames: int
    encoder_frame_s: float
    chunk_s: float
    algorithmic_latency_s: float
    latency_definition: str
    encoder: EncoderSettings
    predictor: PredictorSettings
    vocabulary_size: int
    blank_id: int
    max_symbols: int

    @property
    def chunk_encoder_frames(self) -> int:
        """Encoder frames that one full chunk yields."""
        return self.right_context + 1


def read_sizes(content: Any, path: Path) -> Sizes:
    """The sizes among the keys of a streaming.json; unknown keys are ignored.

    Raises:
        InputError: a key is missing or of another type, or the numbers contradict each other.
    """
    sizes = _build(Sizes, content, path, "")
    _check_numbers(sizes, path)
    return sizes


def _build(cls: type[T], content: Any, path: Path, prefix: str) -> T:
    """Fill a dataclass from a JSON object, naming the dotted key of whatever does not fit."""
    if not isinstance(content, dict):
        raise InputError(f"{path}: key {prefix[:-1]!r} is {content!r}; an object is expected.")
    types = get_type_hints(cls)
    names = list(types)
    missing = [prefix + name for name in names if name not in content]
    if missing:
        raise InputError(
            f"{path}: lacks the key(s) {', '.join(map(repr, missing))}. "
            f"Export the model again to restore them."
        )
    values = {name: _convert(types[name], content[name], path, prefix + name) for name in names}
    return cls(**values)


def _convert(kind: Any, value: Any, path: Path, key: str) -> Any:
    if is_dataclass(kind):
        return _build(kind, value, path, f"{key}.")  # type: ignore[arg-type]
    accepted = (int, float) if kind is float else (kind,)
    if isinstance(value, bool) or not isinstance(value, accepted):
        raise InputError(f"{path}: key {key!r} is {value!r}; a JSON {kind.__name__} is expected.")
    try:
        converted = kind(value)
    except OverflowError:
        converted = math.inf
    if kind is float and not math.isfinite(converted):
        raise InputError(f"{path}: key {key!r} is {value!r:.80}; a finite number is expected.")
    return converted


def _check_numbers(settings: Sizes, path: Path) -> None:
    """Refuse sizes that no model has, and geometry that contradicts itself.

    The bounds are far from every model's, and keep what is computed from them small: graphs are
    opened and compared with the settings only after this.
    """
    factor, right, mel = settings.subsampling_factor, settings.right_context, settings.mel
    encoder, predictor = settings.encoder, settings.predictor
    bounds: dict[str, tuple[float, float, float]] = {
        "sample_rate": (settings.sample_rate, 1_000, 768_000),
        "mel.n_fft": (mel.n_fft, 1, 2**14),
        "mel.window_length": (mel.window_length, 1, 2**14),
        # A frame's window is waited for by at most so many frames, which LogMel's buffer holds.
        "mel.hop_length": (mel.hop_length, -(-mel.window_length // 64), 2**14),
        "mel.n_mels": (mel.n_mels, 1, 512),
        "mel.preemphasis": (mel.preemphasis, -1, 1),
        "mel.log_guard": (mel.log_guard, 1e-38, 1),
        "subsampling_factor": (factor, 1, 64),
        "left_context": (settings.left_context, 0, 100_000),
        "right_context": (right, 0, 1_000),
        "algorithmic_latency_s": (settings.algorithmic_latency_s, 0, 3600),
        "encoder.dim": (encoder.dim, 1, 2**16),
        "encoder.layers": (encoder.layers, 1, 1_000),
        "encoder.heads": (encoder.heads, 1, 2**16),
        "encoder.conv_cache": (encoder.conv_cache, 0, 10_000),
        "predictor.layers": (predictor.layers, 1, 100),
        "predictor.hidden": (predictor.hidden, 1, 2**16),
        "vocabulary_size": (settings.vocabulary_size, 1, 10**6),
        "max_symbols": (settings.max_symbols, 1, 1_000),
    }
    exact = {
        "chunk_frames": (settings.chunk_frames, factor * (right + 1)),
        "leading_frames": (settings.leading_frames, 2 * factor),
        "window_frames": (settings.window_frames, 2 * factor + factor * right + 1),
        "blank_id": (settings.blank_id, settings.vocabulary_size),
        "encoder.dim modulo encoder.heads": (encoder.dim % max(encoder.heads, 1), 0),
    }
    wrong = [
        f"{key} is {n}; at {'least' if n < low else 'most'} {low if n < low else high} is accepted"
        for key, (n, low, high) in bounds.items()
        if not low <= n <= high
    ]
    wrong += [
        f"{key} is {n}; {only} follows from the other keys"
        for key, (n, only) in exact.items()
        if n != only
    ]
    if mel.window_length > mel.n_fft:
        wrong.append(f"mel.window_length is {mel.window_length}; at most mel.n_fft is accepted")
    if not 0 <= mel.f_min < mel.f_max or 2 * mel.f_max > settings.sample_rate:
        band = f"{mel.f_min} to {mel.f_max} Hz"
        wrong.append(f"mel.f_min to mel.f_max is {band}; a band up to half the rate is accepted")
    if not wrong:  # what is computed from sane numbers only
        frame_s = factor * mel.hop_length / settings.sample_rate
        told = {
            "encoder_frame_s": (settings.encoder_frame_s, frame_s),
            "chunk_s": (settings.chunk_s, frame_s * settings.chunk_encoder_frames),
        }
        wrong += [
            f"{key} is {n}; {only} follows from the other keys"
            for key, (n, only) in told.items()
            if abs(n - only) > 1e-6 * only
        ]
        rows = 2 * (settings.left_context + settings.chunk_encoder_frames) + encoder.conv_cache
        if encoder.layers * rows * encoder.dim > _MOST_CACHED:
            cached = f"{encoder.layers * rows * encoder.dim} numbers"
            wrong.append(f"encoder's caches take {cached}; at most {_MOST_CACHED} are accepted")
    if wrong:
        raise InputError(f"{path}: " + "; ".join(wrong) + ". Export the model again.")
