"""JSON of files that anybody may have written: bounded, finite, and wrong in words of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quantkit.core.errors import InputError

#: The most that any JSON of this project takes: the report of a comparison of many utterances.
MOST_BYTES = 256 * 2**20
#: Levels of lists and objects within each other.
MOST_LEVELS = 64
_MOST_DIGITS = 400


def read_json(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: the file is missing, cannot be read, takes more than `most_bytes`, or is not
            JSON as `parse_json` accepts it.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(most_bytes + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if len(raw) > most_bytes:
        raise InputError(f"{path}: takes more than {most_bytes} bytes, which no such file does")
    return parse_json(raw, str(path))


def parse_json(text: str | bytes, file: str, line: int | None = None) -> Any:
    """The value of a JSON text; a byte order mark is skipped.

    Messages begin with the name of the file and, where the text is only one line of it, with that
    line's number. Such a line may hold control characters as they are.

    Raises:
        InputError: it is not UTF-8 or not JSON, says NaN or Infinity, nests more than 64 levels
            deep, or holds a number of more than 400 digits or beyond double precision.
    """
    where = file if line is None else f"{file}:{line}"
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        value = json.loads(
            decoded.removeprefix("\ufeff"),
            strict=line is None,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_number,
        )
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: is not UTF-8 text (byte {error.start})") from error
    except json.JSONDecodeError as error:
        number = error.lineno if line is None else line
        raise InputError(f"{file}:{number}:{error.colno}: is not JSON ({error.msg})") from error
    except RecursionError as error:
        raise InputError(f"{where}: nests deeper than {MOST_LEVELS} levels") from error
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
    _check_depth(value, where)
    return value


def _check_depth(value: Any, where: str) -> None:
    level = [value]
    for _ in range(MOST_LEVELS):
        level = [
            item
            for holder in level
            if isinstance(holder, dict | list)
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise InputError(f"{where}: nests deeper than {MOST_LEVELS} levels")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"found {name}, accepted: finite numbers")


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"found a number of {len(digits)} digits, accepted: {_MOST_DIGITS}")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"found {digits[:40]}, accepted: finite numbers")
    return value
