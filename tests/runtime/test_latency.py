from __future__ import annotations

import numpy as np
import pytest

from quantkit.runtime.encoders.chunks import ChunkWindows
from quantkit.runtime.mel import LogMel
from quantkit.runtime.settings import StreamingSettings, algorithmic_latency


def test_latency_is_what_sample_by_sample_audio_shows(settings: StreamingSettings) -> None:
    mel = LogMel(settings.mel, settings.sample_rate)
    windows = ChunkWindows(settings)
    hop, factor = settings.mel.hop_length, settings.subsampling_factor
    frame = worst = 0
    audio = np.random.default_rng(0).normal(size=3 * settings.chunk_frames * hop)
    for seen, sample in enumerate(audio, start=1):
        for _ in windows.push(mel.push([sample])):
            for _ in range(settings.chunk_encoder_frames):
                represented = factor * frame * hop
                worst = max(worst, seen - represented)
                frame += 1
    assert frame >= 2 * settings.chunk_encoder_frames
    assert worst / settings.sample_rate == algorithmic_latency(settings)
    assert algorithmic_latency(settings) == pytest.approx(settings.algorithmic_latency_s)
