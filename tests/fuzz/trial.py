"""What every fuzzer here does: damage bytes by a seed, try, and hold the product to its word.

A wrong input may only raise the product's own error, of at most 2 kB, soon and in little memory.
`make test` tries a few hundred inputs, `make fuzz` (FUZZ=long) all of the thousands.
"""

from __future__ import annotations

import os
import random
import resource
import time
from collections.abc import Callable

from quantkit.core.errors import QuantkitError
from quantkit.core.text import MESSAGE_BYTES

LONG = os.environ.get("FUZZ") == "long"


def rounds(short: int, long: int) -> range:
    """Seeds of the trials of one fuzzer."""
    return range(long if LONG else short)


def trial(
    call: Callable[[], object], what: str, seconds: float = 1.0, memory_mb: float = 300
) -> str | None:
    """The message of the product's error that a call raises, None where it accepts the input.

    `what` names the input in the message of a failing test.
    """
    before = _peak_mb()
    began = time.process_time()
    try:
        call()
        message = None
    except QuantkitError as error:
        message = str(error)
    except BaseException as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    took, grown = time.process_time() - began, _peak_mb() - before
    assert took <= seconds, f"{what}: took {took:.1f} s"
    assert grown <= memory_mb, f"{what}: took {grown:.0f} MB"
    if message is not None:
        assert 0 < len(message.encode()) <= MESSAGE_BYTES, f"{what}: {len(message)} characters"
    return message


def damaged(content: bytes, seed: int) -> bytes:
    """The content with a few bytes flipped, or a piece cut, doubled, zeroed or put elsewhere."""
    chance = random.Random(seed)
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        start = chance.randrange(len(changed) + 1)
        size = min(chance.choice((1, 2, 4, 8, 64, 512)), len(changed) - start)
        piece = bytes(changed[start : start + size])
        match chance.randrange(6):
            case 0 if size:
                changed[start] ^= 1 << chance.randrange(8)
            case 1:
                changed[start : start + size] = chance.randbytes(size)
            case 2:
                changed[start : start + size] = bytes(size)
            case 3:
                del changed[start : start + size]
            case 4:
                place = chance.randrange(len(changed) + 1)
                changed[place:place] = piece
            case _:
                del changed[start:]
    return bytes(changed)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
