"""Parts of files are heard as NeMo hears them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.core.errors import InputError
from quantkit.speech.manifest import Segment
from quantkit.speech.reading import read_recording, recording_blocks, recording_s

RATE = 16_000


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    samples = np.random.default_rng(0).integers(-9999, 9999, 5 * RATE + 123, dtype=np.int16)
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return path


@pytest.mark.parametrize(
    ("offset_s", "length_s"),
    [(0.0, 1.0), (0.0, 2.2567), (3.285, 1.257), (1.0, 2.0), (4.9, None), (0.0, 5.05), (2.0001, 3)],
)
def test_the_samples_are_those_that_nemo_reads(audio, offset_s, length_s) -> None:
    with soundfile.SoundFile(audio) as file:
        file.seek(int(offset_s * RATE))
        frames = -1 if length_s is None else int(length_s * RATE)
        expected = file.read(frames, dtype="float32")
    part = Segment(audio, offset_s, length_s)
    np.testing.assert_array_equal(read_recording(part, RATE), expected)
    assert all(len(block) for block in recording_blocks(part, RATE))
    assert abs(recording_s(part) - len(expected) / RATE) < 1e-4


@pytest.mark.parametrize(("offset_s", "length_s"), [(6.0, None), (6.0, 1.0), (4.0, 2.0)])
def test_a_part_beyond_the_end_is_refused(audio, offset_s, length_s) -> None:
    with pytest.raises(InputError, match=r"a\.wav: holds 5\.008 s of audio.* ask for") as caught:
        read_recording(Segment(audio, offset_s, length_s), RATE)
    assert Segment(audio, offset_s, length_s).span in str(caught.value)


def test_a_whole_file_is_what_it_was(audio) -> None:
    assert len(read_recording(audio, RATE)) == 5 * RATE + 123
    assert recording_s(audio) == 5 + 123 / RATE
