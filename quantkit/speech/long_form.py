"""One recording of minutes out of many short ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, cycle, zip_longest

import numpy as np
from numpy.typing import NDArray

from quantkit.core.files import sha256_json
from quantkit.runtime.audio import read_audio
from quantkit.speech.cache import Speech, SpeechCache
from quantkit.speech.sets import LONG_FORM
from quantkit.speech.utterances import SuiteUtterance

_PAUSE_S = 0.5


def join_sets(
    sets: Sequence[Sequence[SuiteUtterance]], seconds: float, cache: SpeechCache
) -> SuiteUtterance:
    """One utterance of each set in turn, then the next of each, and from the start if they run out.

    Pauses of half a second lie between them; the last one is cut off at `seconds`.
    """
    in_turn = [
        utterance for turn in zip_longest(*sets) for utterance in turn if utterance is not None
    ]
    chosen: list[SuiteUtterance] = []
    length_s = 0.0
    for utterance in cycle(in_turn):
        if length_s >= seconds:
            break
        chosen.append(utterance)
        length_s += utterance.duration_s + _PAUSE_S
    pin = sha256_json([LONG_FORM, seconds, _PAUSE_S, [utterance.digest for utterance in chosen]])
    found = cache.find(pin)
    if not isinstance(found, Speech):
        found = cache.keep(pin, _blocks(chosen, seconds, cache.sample_rate))
    digest = sha256_json([found.samples, None])
    return SuiteUtterance(
        LONG_FORM, LONG_FORM, found.audio, None, found.duration_s, digest, deep=True
    )


def _blocks(
    chosen: Sequence[SuiteUtterance], seconds: float, rate: int
) -> Iterator[NDArray[np.float32]]:
    pause = np.zeros(round(_PAUSE_S * rate), np.float32)
    pieces = chain.from_iterable((read_audio(utterance.audio, rate), pause) for utterance in chosen)
    left = round(seconds * rate)
    for piece in pieces:
        yield piece[:left]
        left -= len(piece[:left])
