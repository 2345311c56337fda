"""The recordings that a recipe calibrates on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import soundfile

from quantkit.core.errors import InputError, SettingError
from quantkit.core.files import sha256_file, sha256_json
from quantkit.core.text import one_line
from quantkit.speech.manifest import Recording, file_of, read_manifest, segment_facts
from quantkit.speech.settings import CalibrateSettings

#: libsndfile reads more than these, but nothing else by the name alone.
AUDIO_SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"} | {
    ".aif",
    ".oga",
    ".opus",
    ".sph",
}
#: What holds speech as well and has to be converted first.
_OTHER_SUFFIXES = {
    *(".3ga", ".3gp", ".aa3", ".aac", ".ac3", ".adts", ".ape", ".amr", ".asf", ".awb", ".dss"),
    *(".dts", ".eac3", ".gsm", ".m4a", ".m4b", ".m4r", ".mka", ".mkv", ".mov", ".mp4", ".mpc"),
    *(".oma", ".pcm", ".ra", ".ram", ".raw", ".spx", ".tta", ".webm", ".wma", ".wv"),
} - AUDIO_SUFFIXES
#: Names that a message lists; the others are counted.
_NAMED = 5


@dataclass(frozen=True)
class Folder:
    """What is below a folder.

    Attributes:
        recordings: audio files, by their paths.
        left_out: files that hold or may hold speech and cannot be read, with the reason.
    """

    recordings: list[Path]
    left_out: Mapping[Path, str]


def find_recordings(settings: CalibrateSettings, fetched: Path | None = None) -> list[Recording]:
    """Recordings in a fixed order: a manifest's own, a folder's by their paths.

    Args:
        settings: where they are.
        fetched: directory that `fetch_dataset` filled; given if the source is a data set.

    Raises:
        SettingError: the source is missing, empty or wrong.
    """
    try:
        if settings.folder is not None:
            return [*recordings_below(Path(settings.folder)).recordings]
        manifest = fetched / "manifest.jsonl" if fetched else Path(settings.manifest or "")
        return [utterance.recording for utterance in read_manifest(manifest)]
    except InputError as error:
        raise SettingError(settings.key, str(error)) from error


def recordings_digest(recordings: Sequence[Recording]) -> str:
    """SHA-256 over the bytes of the recordings in their order, wherever they lie."""
    sha256 = cache(sha256_file)
    return sha256_json([_facts(recording, sha256(file_of(recording))) for recording in recordings])


def recordings_below(folder: Path) -> Folder:
    """Audio files in a folder and all below it; links to directories are followed, each once.

    Raises:
        InputError: there is no such folder, or no recording in it.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder} is no folder; relative paths start at the working directory, {Path.cwd()}"
        )
    recordings: list[Path] = []
    left_out: dict[Path, str] = {}
    for path in sorted(_files_below(folder, set(), left_out), key=Path.as_posix):
        suffix = path.suffix.lower()
        if suffix in _OTHER_SUFFIXES:
            left_out[path] = f"{suffix[1:]} is not read, accepted: the formats of libsndfile"
        elif suffix in AUDIO_SUFFIXES:
            if path.is_file():
                recordings.append(path)
            else:
                left_out[path] = "it is a broken link" if path.is_symlink() else "it is no file"
    if not recordings:
        raise InputError(
            f"found no recording in {folder} or below it, accepted: "
            f"{', '.join(sorted(AUDIO_SUFFIXES))}{told(left_out, folder)}"
        )
    return Folder(recordings, left_out)


def told(left_out: Mapping[Path, str], folder: Path) -> str:
    """`; left out: memo.m4a (m4a is not read ...)`; empty where nothing was."""
    if not left_out:
        return ""
    named = [
        f"{one_line(str(path.relative_to(folder)))} ({why})"
        for path, why in list(left_out.items())[:_NAMED]
    ]
    more = [f"and {len(left_out) - _NAMED} more"] if len(left_out) > _NAMED else []
    return f"; left out: {', '.join([*named, *more])}"


def _files_below(
    folder: Path, seen: set[tuple[int, int]], left_out: dict[Path, str]
) -> Iterator[Path]:
    """What is no directory; of directories that are linked to as well, the real one comes first.

    Directories that cannot be read are left out.
    """
    try:
        state = folder.stat()
        if (state.st_dev, state.st_ino) in seen:
            return
        seen.add((state.st_dev, state.st_ino))
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: (entry.is_symlink(), entry.name))
    except OSError as error:
        left_out[folder] = f"it cannot be read: {error.strerror}"
        return
    for entry in found:
        path = folder / entry.name
        if path.is_dir():
            yield from _files_below(path, seen, left_out)
        else:
            yield path


def _facts(recording: Recording, sha256: str) -> list[str | float | None] | str:
    facts = segment_facts(recording)
    return [sha256, *facts] if facts else sha256
