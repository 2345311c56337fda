"""Phone times of recorded speech: PocketSphinx's forced alignment with its own English model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pocketsphinx import Decoder

from demo.synthesize import Phones

#: PocketSphinx's frames a second.
FRAMES_PER_SECOND = 100


def aligner() -> Callable[[np.ndarray, str], Phones]:
    """A function from 16 kHz samples in [-1, 1] and their text to phone times.

    It returns nothing where its dictionary lacks a word or no path through the text fits.
    """
    decoder = Decoder(lm=None, bestpath=False, loglevel="FATAL")

    def phones(samples: np.ndarray, text: str) -> Phones:
        if any(decoder.lookup_word(word) is None for word in text.split()):
            return []
        pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        decoder.set_align_text(text)
        _hear(decoder, pcm)
        if decoder.hyp() is None:
            return []
        decoder.set_alignment()
        _hear(decoder, pcm)
        return [
            (phone.name, (phone.start + phone.duration) / FRAMES_PER_SECOND)
            for word in decoder.get_alignment()
            for phone in word
        ]

    return phones


def _hear(decoder: Decoder, pcm: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
