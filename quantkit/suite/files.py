"""Sets that are files on this machine: manifests, and folders with a text beside each recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from quantkit.calibrate.recordings import recordings_below
from quantkit.core.speech import Utterance, read_manifest
from quantkit.suite.cache import Speech, SpeechCache, Unusable
from quantkit.suite.digests import FileDigests
from quantkit.suite.source import Row, Source


def open_manifest(
    manifest: str, limit: int | None, cache: SpeechCache, digests: FileDigests
) -> Source:
    """The utterances of a manifest; recordings may be missing.

    Raises:
        InputError: the manifest cannot be read, or a line of it is wrong.
    """
    folder = Path(manifest).parent
    utterances = read_manifest(Path(manifest), present=False)[:limit]
    return Source(manifest, None, len(utterances), _rows(folder, utterances, cache, digests))


def open_folder(folder: str, limit: int | None, cache: SpeechCache, digests: FileDigests) -> Source:
    """The recordings in a folder and below it, each with its text in a .txt of the same name.

    Raises:
        InputError: there is no such folder, or no recording in it.
    """
    recordings = recordings_below(Path(folder))[:limit]
    rows = _texted_rows(Path(folder), recordings, cache, digests)
    return Source(folder, None, len(recordings), rows)


def _rows(
    folder: Path, utterances: Sequence[Utterance], cache: SpeechCache, digests: FileDigests
) -> Iterator[Row]:
    for one in utterances:
        inside = one.audio.is_relative_to(folder)
        name = (one.audio.relative_to(folder) if inside else one.audio).as_posix()
        yield Row(name, one.text, one.language, _speech(one.audio, cache, digests))


def _texted_rows(
    folder: Path, recordings: Sequence[Path], cache: SpeechCache, digests: FileDigests
) -> Iterator[Row]:
    for recording in recordings:
        name = recording.relative_to(folder).as_posix()
        beside = recording.with_suffix(".txt")
        speech, text = _speech(recording, cache, digests), None
        try:
            text = beside.read_text(encoding="utf-8").strip() if beside.exists() else None
        except UnicodeDecodeError:
            speech = Unusable(f"its text {beside.name} is not UTF-8")
        yield Row(name, text, None, speech)


def _speech(recording: Path, cache: SpeechCache, digests: FileDigests) -> Speech | Unusable:
    try:
        return cache.decode(digests.of(recording), recording)
    except FileNotFoundError:
        return Unusable("the recording is missing")
    except OSError as error:
        return Unusable(f"the recording cannot be read: {error.strerror}")
