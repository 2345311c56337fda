"""Sets that are files on this machine: manifests, and folders with a text beside each recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from quantkit.core.files import sha256_json
from quantkit.core.text import one_line
from quantkit.speech.cache import Speech, SpeechCache, Unusable
from quantkit.speech.digests import FileDigests
from quantkit.speech.manifest import Recording, Utterance, file_of, read_manifest, segment_facts
from quantkit.speech.recordings import Folder, recordings_below
from quantkit.speech.source import Row, Source

#: Of a text beside a recording: hours of speech.
_MOST_TEXT_BYTES = 2**20


def open_manifest(
    manifest: str, limit: int | None, cache: SpeechCache, digests: FileDigests
) -> Source:
    """The utterances of a manifest; recordings may be missing.

    Raises:
        InputError: the manifest cannot be read, or a line of it is wrong.
    """
    folder = Path(manifest).parent
    utterances = read_manifest(Path(manifest), present=False)[:limit]
    rows = _rows(folder, utterances, cache, digests)
    return Source(one_line(manifest), None, len(utterances), rows)


def open_folder(folder: str, limit: int | None, cache: SpeechCache, digests: FileDigests) -> Source:
    """The recordings in a folder and below it, each with its text in a .txt of the same name.

    What looks like speech and cannot be read is a row too, without speech.

    Raises:
        InputError: there is no such folder, or no recording in it.
    """
    found = recordings_below(Path(folder))
    found = Folder(found.recordings[:limit], found.left_out)
    rows = _texted_rows(Path(folder), found, cache, digests)
    return Source(one_line(folder), None, len(found.recordings) + len(found.left_out), rows)


def _rows(
    folder: Path, utterances: Sequence[Utterance], cache: SpeechCache, digests: FileDigests
) -> Iterator[Row]:
    for utterance in utterances:
        inside = utterance.audio.is_relative_to(folder)
        name = one_line(
            (utterance.audio.relative_to(folder) if inside else utterance.audio).as_posix()
        )
        if utterance.segment is not None:
            name = f"{name} ({utterance.segment.span})"
        speech = _speech(utterance.recording, cache, digests)
        language = None if utterance.language is None else one_line(utterance.language)
        yield Row(name, utterance.text, language, speech, utterance.segment)


def _texted_rows(
    folder: Path, found: Folder, cache: SpeechCache, digests: FileDigests
) -> Iterator[Row]:
    for recording in sorted([*found.recordings, *found.left_out], key=Path.as_posix):
        name = one_line(recording.relative_to(folder).as_posix())
        if recording in found.left_out:
            yield Row(name, None, None, Unusable(found.left_out[recording]))
            continue
        speech = _speech(recording, cache, digests)
        text = _text(recording.with_suffix(".txt"))
        yield (
            Row(name, None, None, text)
            if isinstance(text, Unusable)
            else Row(name, text, None, speech)
        )


def _text(beside: Path) -> str | Unusable | None:
    """What a file beside a recording says; None if it is not there."""
    if not beside.is_file():
        return None
    name = one_line(beside.name)
    try:
        with beside.open("rb") as file:
            content = file.read(_MOST_TEXT_BYTES + 1)
        if len(content) > _MOST_TEXT_BYTES:
            return Unusable(f"its text {name} takes more than {_MOST_TEXT_BYTES} bytes")
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return Unusable(f"its text {name} is not UTF-8")
    except OSError as error:
        return Unusable(f"its text {name} cannot be read: {error.strerror}")


def _speech(recording: Recording, cache: SpeechCache, digests: FileDigests) -> Speech | Unusable:
    try:
        digest = digests.of(file_of(recording))
    except FileNotFoundError:
        return Unusable("the recording is missing")
    except OSError as error:
        return Unusable(f"the recording cannot be read: {error.strerror}")
    facts = segment_facts(recording)
    return cache.decode(sha256_json([digest, *facts]) if facts else digest, recording)
