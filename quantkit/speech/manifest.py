"""Speech manifests: JSON lines that name recordings, or parts of them, and what is said there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from quantkit.core.errors import InputError
from quantkit.core.files import sha256_file, sha256_json
from quantkit.core.names import may_name_a_file
from quantkit.core.strict_json import parse_json
from quantkit.core.text import one_line

#: What manifests call the recording of a line, ours and NeMo's.
_AUDIO_KEYS = ("audio", "audio_filepath")
#: What manifests call the language code of a line.
_LANGUAGE_KEYS = ("language", "lang")
#: What changes what is heard, and is not heeded here.
_UNHEEDED = ("channel_selector",)
_MOST_BYTES = 256 * 2**20
_MOST_SECONDS = 1e7
#: Wrong lines that a message lists; the others are counted.
_LISTED = 20

T = TypeVar("T")


@dataclass(frozen=True)
class Segment:
    """A part of an audio file: from `offset_s` on, for `length_s` seconds or up to the end."""

    audio: Path
    offset_s: float = 0.0
    length_s: float | None = None

    @property
    def span(self) -> str:
        """`3.285 to 5.542 s`, or `3.285 s to the end`."""
        if self.length_s is None:
            return f"{self.offset_s:.3f} s to the end"
        return f"{self.offset_s:.3f} to {self.offset_s + self.length_s:.3f} s"

    def __str__(self) -> str:
        return f"{self.audio} ({self.span})"


#: What is heard: a whole audio file, or a part of one.
Recording = Path | Segment


@dataclass(frozen=True)
class Utterance:
    """One recording; `text` is None where nobody wrote down what is said.

    `segment` is the part of the file that the utterance is; None where it is all of it.
    """

    audio: Path
    text: str | None = None
    speaker: str | None = None
    duration_s: float | None = None
    language: str | None = None
    segment: Segment | None = None

    @property
    def recording(self) -> Recording:
        """What is heard."""
        return self.segment or self.audio


def read_manifest(path: Path, *, present: bool = True) -> list[Utterance]:
    """The utterances of a manifest, in its order; audio paths are relative to the manifest.

    `offset` and `duration`, in seconds, mean what they do in NeMo: that part of the file is the
    utterance. `duration_s` only tells how long a recording is.

    Args:
        path: of the manifest.
        present: whether every recording has to be there; if not, the caller deals with it.

    Raises:
        InputError: the manifest or a recording is missing, or a line is wrong; the first of them
            named, the others counted.
    """
    found, wrong = [], []
    # Only a newline ends a line: texts may hold what else separates lines in Unicode.
    for number, line in enumerate(_content(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = parse_json(line, str(path), number)
            found.append(_utterance(value, path.parent, present=present))
        except InputError as error:
            wrong.append(str(error))
        except ValueError as error:
            wrong.append(f"{path}:{number}: {error}")
    if wrong:
        more = [f"and {len(wrong) - _LISTED} more lines are wrong"] if wrong[_LISTED:] else []
        raise InputError("\n".join([*wrong[:_LISTED], *more]))
    if not found:
        raise InputError(f"{path}: found no utterance, accepted: one JSON object a line")
    return found


def manifest_digest(path: Path) -> str:
    """SHA-256 over the texts and the audio bytes of a manifest, wherever it lies."""
    sha256 = cache(sha256_file)
    return sha256_json(
        [
            [sha256(utterance.audio), utterance.text, *segment_facts(utterance.recording)]
            for utterance in read_manifest(path)
        ]
    )


def file_of(recording: Recording) -> Path:
    """The audio file that a recording is, or is a part of."""
    return recording.audio if isinstance(recording, Segment) else recording


def segment_facts(recording: Recording) -> list[float | None]:
    """What pins the part of a file in a digest; nothing for all of it."""
    if isinstance(recording, Segment):
        return [recording.offset_s, recording.length_s]
    return []


def read_texts(path: Path) -> dict[Path, str]:
    """What is said in each recording of a manifest, by its resolved path.

    The texts of parts of a file follow each other as the parts do, each with its time.

    Raises:
        InputError: see `read_manifest`.
    """
    texts: dict[Path, list[tuple[float, str]]] = {}
    for utterance in read_manifest(path):
        if utterance.text is not None:
            part = utterance.segment
            shown = f"({part.span}) {utterance.text}" if part else utterance.text
            place = texts.setdefault(utterance.audio.resolve(), [])
            place.append((part.offset_s if part else 0.0, shown))
    return {audio: " ".join(text for _, text in sorted(said)) for audio, said in texts.items()}


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise InputError(f"{path}: takes more than {_MOST_BYTES} bytes, which no manifest does")
        return raw.decode("utf-8").removeprefix("\ufeff")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(
            f"{path}: cannot read the speech manifest: {reason}. Relative paths start at the "
            f"working directory, {Path.cwd()}"
        ) from error


def _utterance(value: Any, folder: Path, *, present: bool) -> Utterance:
    """One line's utterance.

    Raises:
        ValueError: with what is wrong.
    """
    names = [value[key] for key in _AUDIO_KEYS if key in value] if isinstance(value, dict) else []
    if len(names) != 1 or not isinstance(names[0], str):
        raise ValueError(
            'accepted: an object with "audio" or "audio_filepath", for example {"audio": "a.flac"}'
        )
    for key in ("text", "speaker", *_LANGUAGE_KEYS):
        if not _is_text(value.get(key)):
            raise ValueError(f'"{key}" is {value[key]!r:.80}, accepted: a text')
    for key in _UNHEEDED:
        if value.get(key) is not None:
            raise ValueError(f'"{key}" is not heeded here: write the part as its own file')
    audio = folder / names[0]
    if not may_name_a_file(audio):
        raise ValueError(f"{names[0]!r:.80} is the name of no file")
    if present and not audio.is_file():
        raise ValueError(f"the recording {one_line(str(audio))} does not exist")
    language = next((value[key] for key in _LANGUAGE_KEYS if value.get(key)), None)
    segment = _segment(value, audio)
    told = segment.length_s if segment else _seconds(value, "duration_s")
    return Utterance(audio, value.get("text"), value.get("speaker"), told, language, segment)


def _segment(value: Mapping[str, Any], audio: Path) -> Segment | None:
    offset, duration = _seconds(value, "offset"), _seconds(value, "duration")
    if duration == 0:
        raise ValueError('"duration" is 0, accepted: the seconds of what is heard')
    if offset and duration is None and value.get("duration_s") is not None:
        raise ValueError(
            '"offset" with "duration_s", which tells how long the file is, accepted: "offset" with '
            '"duration", or alone for all that follows'
        )
    return None if not offset and duration is None else Segment(audio, offset or 0.0, duration)


def _seconds(value: Mapping[str, Any], key: str) -> float | None:
    seconds = value.get(key)
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ValueError(f'"{key}" is {seconds!r:.80}, accepted: seconds')
    if not 0 <= seconds <= _MOST_SECONDS:
        raise ValueError(f'"{key}" is {seconds!r:.80}, accepted: 0 to {_MOST_SECONDS:.0f} seconds')
    return seconds


def _is_text(value: Any) -> bool:
    """Whether a value is a text that UTF-8 can hold, or none."""
    if not isinstance(value, str):
        return value is None
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def spread(items: Sequence[T], count: int | None) -> list[T]:
    """So many of the items, at even distances; all where there are not more."""
    total = len(items)
    if count is None or count >= total:
        return list(items)
    return [items[index * total // count] for index in range(count)]
