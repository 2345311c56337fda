"""The recordings that a recipe calibrates on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import soundfile

from quantkit.calibrate.settings import CalibrateSettings
from quantkit.core.errors import InputError, SettingError
from quantkit.core.files import sha256_file, sha256_json
from quantkit.core.speech import read_manifest

#: libsndfile reads more than these, but nothing else by the name alone.
AUDIO_SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"} | {
    ".aif",
    ".oga",
    ".opus",
    ".sph",
}


def find_recordings(settings: CalibrateSettings, fetched: Path | None = None) -> list[Path]:
    """Audio files in a fixed order: a manifest's own, a folder's by their paths.

    Args:
        settings: where they are.
        fetched: directory that `fetch_dataset` filled; given if the source is a data set.

    Raises:
        SettingError: the source is missing, empty or wrong.
    """
    try:
        if settings.folder is not None:
            return recordings_below(Path(settings.folder))
        manifest = fetched / "manifest.jsonl" if fetched else Path(settings.manifest or "")
        return [utterance.audio for utterance in read_manifest(manifest)]
    except InputError as error:
        raise SettingError(settings.key, str(error)) from error


def recordings_digest(recordings: Sequence[Path]) -> str:
    """SHA-256 over the bytes of the recordings in their order, wherever they lie."""
    return sha256_json([sha256_file(path) for path in recordings])


def recordings_below(folder: Path) -> list[Path]:
    """Audio files in a folder and all below it, by their paths.

    Raises:
        InputError: there is no such folder, or no recording in it.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder} is no folder; relative paths start at the working directory, {Path.cwd()}"
        )
    found = [path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES]
    if not found:
        raise InputError(
            f"found no recording in {folder} or below it, accepted: "
            f"{', '.join(sorted(AUDIO_SUFFIXES))}"
        )
    return sorted((path for path in found if path.is_file()), key=lambda path: path.as_posix())
