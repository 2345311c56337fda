from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.runtime.audio import read_audio
from quantkit.speech.cache import Speech, SpeechCache
from quantkit.speech.manifest import Segment, read_manifest
from quantkit.speech.overlap import samples_digest, shared_recordings

CALIBRATION = Path(__file__).parents[2] / "calibration"


def audio(manifest: Path) -> list[Path]:
    return [utterance.audio for utterance in read_manifest(manifest)]


def test_a_copy_in_another_lossless_format_is_found(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-9999, 9999, size=20_000, dtype=np.int16)
    for name, rate in (("a.flac", 8000), ("a.wav", 8000), ("other-rate.wav", 16_000)):
        soundfile.write(tmp_path / name, samples, rate, subtype="PCM_16")
    soundfile.write(tmp_path / "b.wav", samples[::-1], 8000, subtype="PCM_16")
    pair = (tmp_path / "a.flac", tmp_path / "a.wav")
    assert shared_recordings([pair[0]], sorted(tmp_path.glob("*.wav"))) == [pair]


def test_a_copy_of_an_mp3_is_found_though_its_length_is_a_guess(tmp_path: Path) -> None:
    mp3 = CALIBRATION / "game-calibration" / "020001P2.mp3"
    samples = read_audio(mp3, 11_025)
    assert soundfile.info(mp3).frames != len(samples)
    soundfile.write(tmp_path / "copy.wav", samples, 11_025, subtype="FLOAT")
    assert shared_recordings([tmp_path / "copy.wav"], [mp3]) == [(tmp_path / "copy.wav", mp3)]


@pytest.mark.slow
def test_nothing_that_ships_is_both_calibrated_and_judged_on() -> None:
    calibration = audio(CALIBRATION / "manifest.jsonl")
    parity = [
        path
        for name in ("asterisk-parity", "game-parity")
        for path in audio(CALIBRATION / name / "manifest.jsonl")
    ]
    assert len(calibration) == 201
    assert shared_recordings(calibration, parity) == []
    assert len({samples_digest(path) for path in [*calibration, *parity]}) == 201 + 64 + 64


def test_the_joined_manifest_lists_both_sets() -> None:
    sets = ("asterisk-calibration", "game-calibration")
    parts = [path for name in sets for path in audio(CALIBRATION / name / "manifest.jsonl")]
    assert audio(CALIBRATION / "manifest.jsonl") == parts


def test_what_a_suite_decoded_is_found(tmp_path: Path) -> None:
    mp3 = CALIBRATION / "game-calibration" / "020001P2.mp3"
    speech = SpeechCache(tmp_path, 16_000).decode("pin", mp3)
    assert isinstance(speech, Speech)
    assert shared_recordings([mp3], [speech.audio]) == [(mp3, speech.audio)]


def test_parts_of_one_file_are_shared_where_they_overlap(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-9999, 9999, size=5 * 16_000, dtype=np.int16)
    call, copy, cut = (tmp_path / name for name in ("call.flac", "copy.wav", "cut.wav"))
    for path, part in ((call, samples), (copy, samples), (cut, samples[16_000:32_000])):
        soundfile.write(path, part, 16_000, subtype="PCM_16")
    first, second = Segment(call, 0.0, 1.0), Segment(call, 1.0, 1.0)
    assert shared_recordings([first], [second, Segment(copy, 2.0)]) == []
    assert shared_recordings([first], [Segment(copy, 0.5, 2.0)]) == [
        (first, Segment(copy, 0.5, 2.0))
    ]
    assert shared_recordings([copy], [second, cut]) == [(copy, second)]
    assert shared_recordings([second, first], [cut]) == [(second, cut)]
