"""Speech that is kept as Opus comes back clip by clip, and in time."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import correlate

from demo.sources import RATE
from demo.speech import Utterance, read_speech, write_speech
from demo.synthesize import Phones

ROOT = Path(__file__).parents[2]


def test_clips_come_back_in_time(tmp_path: Path) -> None:
    prompts = sorted((ROOT / "calibration/asterisk-parity").glob("*.flac"))[:3]
    clips = [
        (path.stem, f"speaker {n}", soundfile.read(path)[0], [("AA", 0.5), ("SIL", 1.0)])
        for n, path in enumerate(prompts)
    ]
    write_speech(tmp_path / "prompts", clips)
    back = read_speech(tmp_path / "prompts.jsonl")
    assert [clip for clip, _ in back] == [
        Utterance(text, speaker, len(samples), [("AA", 0.5), ("SIL", 1.0)])
        for text, speaker, samples, _ in clips
    ]
    for (_, _, before, _), (_, after) in zip(clips, back, strict=True):
        assert len(after) == len(before)
        lag = int(np.argmax(correlate(after, before))) - (len(before) - 1)
        assert abs(lag) <= RATE // 1000
        # Opus keeps what is heard, not the waveform: the loud tenths of a second stay as loud.
        loud, kept = (
            np.sqrt((x[: len(x) // 1600 * 1600].reshape(-1, 1600) ** 2).mean(1))
            for x in (before, after)
        )
        assert np.abs(np.log(kept / loud)[loud > 0.1 * loud.max()]).max() < 0.5
    size = (tmp_path / "prompts.opus").stat().st_size
    assert size * 8 * RATE / sum(len(clip[2]) for clip in clips) < 20_000


def test_an_interrupted_file_is_not_taken_for_whole(tmp_path: Path) -> None:
    def clips() -> Iterator[tuple[str, str, np.ndarray, Phones]]:
        yield "a", "b", np.zeros(RATE), []
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_speech(tmp_path / "prompts", clips())
    assert not (tmp_path / "prompts.jsonl").exists()
