"""What a suite holds once its speech is on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quantkit.speech.manifest import Recording, Segment


@dataclass(frozen=True)
class SuiteUtterance:
    """One decoded recording and what is said in it.

    Attributes:
        set_name: the set of the suite that it belongs to.
        id: names it within its set.
        audio: one channel at the suite's rate, in the cache of decoded speech.
        text: what is said; None for speech that is only compared token by token.
        duration_s: of the audio.
        digest: SHA-256 of samples and text.
        deep: whether encodings and distributions are compared too, not only tokens and words.
        segment: the part of a file that was decoded, if it is one.
    """

    set_name: str
    id: str
    audio: Path
    text: str | None
    duration_s: float
    digest: str
    deep: bool = False
    segment: Segment | None = None

    @property
    def sources(self) -> list[Recording]:
        """What may not be calibrated on: the decoded speech, and the part of a file that it is."""
        return [self.audio, *([self.segment] if self.segment else [])]


@dataclass(frozen=True)
class Exclusion:
    """An utterance that is not evaluated, and why."""

    set_name: str
    id: str
    reason: str


@dataclass(frozen=True)
class GatheredSet:
    """One set of a suite on this machine.

    Attributes:
        source: the manifest, folder or data set that it was read from, as a report names it.
        revision: the commit of a data set of the hub.
        utterances: in the order of the source.
        exclusions: likewise.
    """

    source: str
    revision: str | None
    utterances: list[SuiteUtterance]
    exclusions: list[Exclusion]


@dataclass(frozen=True)
class Gathered:
    """A suite on this machine.

    Attributes:
        sets: by name; those that could not be used are missing.
        problems: one message for each set that could not be used; the command exits with 2.
        long_form: a recording of minutes, to see errors grow; it has no text, it is deep.
    """

    sets: Mapping[str, GatheredSet]
    problems: list[str]
    long_form: SuiteUtterance | None

    @property
    def utterances(self) -> list[SuiteUtterance]:
        """Those of all sets, one set after the other."""
        return [utterance for part in self.sets.values() for utterance in part.utterances]
