"""Clips that a page carries in itself."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import soundfile

from quantkit.core.errors import InputError


def data_uri(path: Path) -> str:
    """An audio file as a `data:` URI of MP3, which every browser plays.

    Raises:
        InputError: the file is missing or is no audio.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32")
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"{path}: decoded speech of the report cannot be read ({error}); delete the file, "
            "and the next run decodes it again"
        ) from error
    encoded = io.BytesIO()
    soundfile.write(encoded, samples, rate, format="MP3")
    return f"data:audio/mpeg;base64,{base64.b64encode(encoded.getvalue()).decode()}"
