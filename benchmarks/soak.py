"""Stream speech for an hour of audio, or as long as asked, and see whether memory grows.

`python -m benchmarks.soak ARTIFACT --minutes 60` takes one stream of looped speech as fast as
it goes and prints the resident memory after every minute of audio. Tokens are taken out of the
stream every minute: a transcript grows as it must, anything else is a leak. Exit code 1 says that
memory grew over the second half.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from quantkit.core.errors import GateError, InputError, QuantkitError
from quantkit.runtime.transcriber import Transcriber
from quantkit.speech.manifest import read_manifest
from quantkit.speech.reading import read_recording

SPEECH = Path("calibration/asterisk-parity/manifest.jsonl")
BLOCK_S = 0.1
#: Allocators take memory from the system in pieces of up to about this size.
GRANULE_BYTES = 2**20
#: A line through fewer points in the second half has no interval worth the name.
LEAST_MINUTES = 8


@dataclass(frozen=True)
class Growth:
    """Of resident memory over a time: a fitted line's, with its 95 % interval, in bytes."""

    bytes: float
    low: float
    high: float

    @property
    def beyond_noise(self) -> bool:
        """Whether even the low end is more than allocators round up to."""
        return self.low > GRANULE_BYTES


def soak(artifact: Path, manifest: Path, minutes: int) -> Iterator[int]:
    """Stream a manifest's speech over and over; resident bytes after each minute of audio.

    Raises:
        InputError: the artifact, the manifest or a recording is wrong.
    """
    transcriber = Transcriber.load(artifact)
    rate = transcriber.settings.sample_rate
    speech = np.concatenate(
        [read_recording(one.recording, rate) for one in read_manifest(manifest)]
    )
    blocks, stream, process = _looped(speech, rate), transcriber.stream(), psutil.Process()
    for _ in range(minutes):
        for block in itertools.islice(blocks, round(60 / BLOCK_S)):
            stream.push(block)
        stream.tokens.clear()
        yield process.memory_info().rss


def growth(resident: Sequence[int]) -> Growth:
    """How much memory, bytes at equal distances, grew from the first to the last, at least 3."""
    from scipy import stats  # big, so not in memory while that is watched

    steps = len(resident) - 1
    line = stats.linregress(np.arange(steps + 1), resident)
    margin = line.stderr * stats.t.ppf(0.975, steps - 1)
    return Growth(
        *(float(steps * x) for x in (line.slope, line.slope - margin, line.slope + margin))
    )


def _looped(samples: NDArray[np.float32], rate: int) -> Iterator[NDArray[np.float32]]:
    size = round(BLOCK_S * rate)
    whole = samples[: len(samples) // size * size]
    return itertools.cycle(whole.reshape(-1, size))


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description=__doc__)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--minutes", type=int, default=60, help="of audio")
    parser.add_argument("--speech", type=Path, default=SPEECH, help="a speech manifest")
    given = parser.parse_args(arguments)
    try:
        _run(given.artifact, given.speech, given.minutes)
    except QuantkitError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _run(artifact: Path, speech: Path, minutes: int) -> None:
    if minutes < LEAST_MINUTES:
        raise InputError(f"--minutes: found {minutes}, accepted: {LEAST_MINUTES} or more")
    resident = []
    for minute, now in enumerate(soak(artifact, speech, minutes), start=1):
        resident.append(now)
        sys.stdout.write(f"{minute:>4} min {now / 1e6:8.1f} MB\n")
        sys.stdout.flush()
    found = growth(resident[minutes // 2 :])
    message = (
        f"second half: {found.bytes / 1e6:+.2f} MB (95 % interval {found.low / 1e6:+.2f} to "
        f"{found.high / 1e6:+.2f})"
    )
    if found.beyond_noise:
        raise GateError(f"{artifact}: memory grows; {message}")
    sys.stdout.write(f"{message}: flat\n")


if __name__ == "__main__":
    sys.exit(main())
