"""What is kept of a recording is what was in it."""

import hashlib

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quantkit.core.errors import InputError
from quantkit.runtime.audio import read_audio
from quantkit.speech.cache import Speech, SpeechCache, Unusable


def kept(cache: SpeechCache, pin: str, path) -> Speech:
    speech = cache.decode(pin, path)
    assert isinstance(speech, Speech)
    return speech


@given(samples=arrays(np.int16, st.integers(1, 3000)))
def test_16_bit_samples_survive(tmp_path_factory, samples) -> None:
    folder = tmp_path_factory.mktemp("cache")
    soundfile.write(folder / "a.wav", samples, 16_000, subtype="PCM_16")
    speech = kept(SpeechCache(folder, 16_000), "pin", folder / "a.wav")
    heard = read_audio(speech.audio)
    assert heard.tobytes() == read_audio(folder / "a.wav").tobytes()
    assert speech.samples == hashlib.sha256(heard.tobytes()).hexdigest()
    assert speech.duration_s == len(samples) / 16_000


def test_16_bit_samples_cost_16_bits(tmp_path, parity_manifest) -> None:
    prompt = parity_manifest.parent / "agent-pass.flac"
    samples, rate = soundfile.read(prompt, dtype="int16")
    soundfile.write(tmp_path / "a.flac", samples, rate)
    speech = kept(SpeechCache(tmp_path, rate), "pin", prompt)
    assert speech.audio.stat().st_size < 1.01 * (tmp_path / "a.flac").stat().st_size


def test_others_are_rounded_and_clipped(tmp_path) -> None:
    samples = np.array([1.5, -1.5, 0.1, -0.1, 1e-9], np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    speech = kept(SpeechCache(tmp_path, 16_000), "pin", tmp_path / "a.wav")
    heard = read_audio(speech.audio)
    assert heard.tolist()[:2] == [1 - 2**-23, -1.0]
    assert np.abs(heard[2:] - samples[2:]).max() <= 2**-24
    assert speech.samples == hashlib.sha256(heard.tobytes()).hexdigest()


def test_another_rate_and_two_channels(tmp_path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (44_100, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, 44_100, subtype="FLOAT")
    speech = kept(SpeechCache(tmp_path, 8000), "pin", tmp_path / "a.wav")
    heard = read_audio(speech.audio, 8000)
    assert soundfile.info(speech.audio).samplerate == 8000
    assert speech.duration_s == len(heard) / 8000
    assert np.abs(heard - read_audio(tmp_path / "a.wav", 8000)).max() <= 2**-24


def test_what_is_kept_is_not_read_again(tmp_path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(1600), 16_000)
    (tmp_path / "b.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:2000])
    cache = SpeechCache(tmp_path / "cache", 16_000)
    good, bad = cache.decode("a", tmp_path / "a.wav"), cache.decode("b", tmp_path / "b.wav")
    assert isinstance(bad, Unusable)
    assert bad.reason.startswith("is truncated: its header promises 3200 bytes")
    later = SpeechCache(tmp_path / "cache", 16_000)
    assert later.decode("a", tmp_path / "gone") == good
    assert later.decode("b", tmp_path / "gone") == bad
    assert SpeechCache(tmp_path / "cache", 8000).find("a") is None


def test_content_leaves_no_file_and_no_path(tmp_path, parity_manifest) -> None:
    prompt = parity_manifest.parent / "agent-pass.flac"
    cache = SpeechCache(tmp_path, 16_000)
    found = cache.decode_content("content", prompt.read_bytes())
    assert isinstance(found, Speech)
    assert found.samples == kept(cache, "file", prompt).samples
    refused = cache.decode_content("noise", b"no audio")
    assert isinstance(refused, Unusable)
    assert refused.reason.startswith("cannot be read as audio")
    assert not (cache.root / "arrived").exists()


def test_nothing_is_no_speech(tmp_path) -> None:
    with pytest.raises(InputError, match="has no samples at 16000 Hz"):
        SpeechCache(tmp_path, 16_000).keep("pin", [np.zeros(0, np.float32)])


@pytest.mark.parametrize("place", [100, -1])
def test_damaged_speech_is_decoded_again(tmp_path, parity_manifest, place) -> None:
    prompt = parity_manifest.parent / "agent-pass.flac"
    speech = kept(SpeechCache(tmp_path, 16_000), "pin", prompt)
    right = speech.audio.read_bytes()
    damaged = bytearray(right)
    damaged[place] ^= 1
    speech.audio.write_bytes(damaged)
    cache = SpeechCache(tmp_path, 16_000)
    assert cache.find("pin") is None
    assert kept(cache, "pin", prompt) == speech
    assert speech.audio.read_bytes() == right
    speech.audio.write_bytes(right)  # as a copy is: another time, the same content
    assert SpeechCache(tmp_path, 16_000).find("pin") == speech
