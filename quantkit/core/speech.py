"""Speech manifests: JSON lines that name recordings and what is said in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantkit.core.errors import InputError
from quantkit.core.files import sha256_file, sha256_json

#: What manifests call the language code of a line.
_LANGUAGE_KEYS = ("language", "lang")


@dataclass(frozen=True)
class Utterance:
    """One recording; `text` is None where nobody wrote down what is said."""

    audio: Path
    text: str | None = None
    speaker: str | None = None
    duration_s: float | None = None
    language: str | None = None


def read_manifest(path: Path, *, present: bool = True) -> list[Utterance]:
    """The utterances of a manifest, in its order; audio paths are relative to the manifest.

    Args:
        path: of the manifest.
        present: whether every recording has to be there; if not, the caller deals with it.

    Raises:
        InputError: the manifest or a recording is missing, or a line is wrong; all of them named.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(
            f"{path}: cannot read the speech manifest: {reason}. Relative paths start at the "
            f"working directory, {Path.cwd()}"
        ) from error
    found, wrong = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(_utterance(json.loads(line), path.parent, present=present))
        except ValueError as error:
            wrong.append(f"{path}:{number}: {error}")
    if wrong:
        raise InputError("\n".join(wrong))
    if not found:
        raise InputError(f"{path}: found no utterance, accepted: one JSON object a line")
    return found


def manifest_digest(path: Path) -> str:
    """SHA-256 over the texts and the audio bytes of a manifest, wherever it lies."""
    return sha256_json(
        [[sha256_file(utterance.audio), utterance.text] for utterance in read_manifest(path)]
    )


def _utterance(value: Any, folder: Path, *, present: bool) -> Utterance:
    if not isinstance(value, dict) or not isinstance(value.get("audio"), str):
        raise ValueError('accepted: an object with "audio", for example {"audio": "a.flac"}')
    for key in ("text", "speaker", *_LANGUAGE_KEYS):
        if not isinstance(value.get(key), str | None):
            raise ValueError(f'"{key}" is {value[key]!r}, accepted: a text')
    audio = folder / value["audio"]
    if present and not audio.is_file():
        raise ValueError(f"the recording {audio} does not exist")
    duration = value.get("duration_s")
    if duration is not None and not isinstance(duration, int | float):
        raise ValueError(f'"duration_s" is {duration!r}, accepted: seconds')
    language = next((value[key] for key in _LANGUAGE_KEYS if value.get(key)), None)
    return Utterance(audio, value.get("text"), value.get("speaker"), duration, language)
