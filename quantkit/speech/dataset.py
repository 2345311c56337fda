"""Recordings out of a data set of the `datasets` library, as files."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import soundfile

from quantkit.core.errors import InputError, SettingError
from quantkit.core.files import sha256_file, sha256_json, write_bytes, write_text
from quantkit.core.progress import Progress
from quantkit.runtime.audio import duration_s
from quantkit.speech.audio_rows import open_rows
from quantkit.speech.settings import DatasetSettings

_KEY = "calibrate.dataset"


def fetch_dataset(settings: DatasetSettings, out: Path, scratch: Path, progress: Progress) -> None:
    """Write the first recordings of a data set as their own files, and `out`/manifest.jsonl.

    Args:
        settings: which data set, and how many recordings.
        out: existing directory.
        scratch: existing directory; recordings that an interrupted call left there are not fetched
            again.
        progress: told about each recording.

    Raises:
        SettingError: the data set cannot be opened, or has no recordings that can be read.
        MissingExtraError: `datasets` is not installed.
    """
    fetched = sorted(scratch.glob("[0-9]*"))
    rows = _recordings(settings, len(fetched))
    total = settings.utterances - len(fetched)
    for number, content in enumerate(progress.track(rows, total, "fetch"), start=len(fetched)):
        fetched.append(_keep(content, scratch, number, settings.name))
    if not fetched:
        raise SettingError(_KEY, f"{settings.name}: split {settings.split!r} has no recording")
    lines = []
    for path in fetched:
        shutil.copyfile(path, out / path.name)
        lines.append(json.dumps({"audio": path.name, "duration_s": round(duration_s(path), 3)}))
    write_text(out / "manifest.jsonl", "\n".join(lines) + "\n")


def dataset_digest(settings: DatasetSettings) -> str:
    """What pins the content of a data set: its revision, or the bytes of a folder's files.

    Raises:
        SettingError: there is no such folder.
    """
    if not settings.local:
        return sha256_json(settings.revision)
    try:
        return folder_digest(Path(settings.name))
    except InputError as error:
        raise SettingError(f"{_KEY}.name", str(error)) from error


def folder_digest(folder: Path, sha256: Callable[[Path], str] = sha256_file) -> str:
    """SHA-256 over the names and the bytes of a folder's files, wherever it lies.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder} is no folder; relative paths start at the working directory, {Path.cwd()}"
        )
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return sha256_json({str(path.relative_to(folder)): sha256(path) for path in files})


def _recordings(settings: DatasetSettings, skipped: int) -> Iterator[bytes]:
    """Contents of the audio files after the first `skipped` ones."""
    try:
        rows = open_rows(settings, revision=settings.revision)
        for row in islice(rows.after(skipped), settings.utterances - skipped):
            yield rows.content(row.get(rows.audio))
    except InputError as error:
        raise SettingError(_KEY, str(error)) from error


def _keep(content: bytes, folder: Path, number: int, name: str) -> Path:
    """Write one recording, complete or not at all, with its format's suffix."""
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            suffix = file.format.lower()
    except soundfile.LibsndfileError as error:
        raise SettingError(
            _KEY,
            f"{name}: recording {number} cannot be read as audio ({error.error_string}), accepted: "
            "the formats of libsndfile",
        ) from error
    path = folder / f"{number:06d}.{suffix}"
    write_bytes(path, content)
    return path
