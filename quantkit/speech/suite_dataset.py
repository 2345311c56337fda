"""Sets out of the `datasets` library: rows are fetched once, in order, and listed on the way."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from quantkit.core import shapes
from quantkit.core.errors import InputError, MissingExtraError, SettingError
from quantkit.core.files import sha256_json
from quantkit.core.text import brief, one_line
from quantkit.speech.audio_rows import AudioRows, fetch_errors, open_rows
from quantkit.speech.cache import Speech, SpeechCache, Unusable
from quantkit.speech.dataset import folder_digest
from quantkit.speech.digests import FileDigests
from quantkit.speech.journal import Journal
from quantkit.speech.sets import DatasetSettings
from quantkit.speech.source import Row, Source

#: What data sets call their column of language codes.
_LANGUAGE_COLUMNS = ("language", "lang", "locale", "lang_id", "language_code", "lang_code")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NAME_BYTES = 200
#: The last entry of a listing that has all rows.
_END = {"end": True}
_ROW = shapes.record(
    {"id": shapes.text, "text": shapes.optional(shapes.text), "language": shapes.anything}
)


def open_dataset(
    settings: DatasetSettings, limit: int | None, cache: SpeechCache, digests: FileDigests
) -> Source:
    """The rows of a data set; those of an earlier run are neither fetched nor decoded again.

    Raises:
        SettingError: the data set cannot be opened, or the hub does not tell the commit of the
            revision; from the rows also what is wrong with its columns.
        MissingExtraError: `datasets` is not installed.
    """
    revision = None if settings.local else _commit(settings.name, settings.revision or "")
    origin = (
        ["folder", _folder_digest(settings, digests)]
        if revision is None
        else ["hub", settings.name, revision]
    )
    split = _Split(settings, [*origin, settings.config, settings.split], cache)
    name = f"{settings.name} ({', '.join(filter(None, (settings.config, settings.split)))})"
    kept = list(split.kept(limit))
    if len(kept) == limit or split.ends_after(len(kept)):
        return Source(name, revision, len(kept), iter(kept))
    try:
        rows = open_rows(settings, revision=revision, streaming=settings.streaming)
    except InputError as error:
        raise SettingError("dataset", str(error)) from error
    count = min(filter(None, (limit, rows.count)), default=0)
    return Source(name, revision, count, chain(kept, split.fetched(rows, len(kept), limit)))


class _Split:
    """One split: row n is entry n of its listing, and its speech is kept under its number."""

    def __init__(
        self, settings: DatasetSettings, origin: list[str | None], cache: SpeechCache
    ) -> None:
        self._settings, self._origin, self._cache = settings, origin, cache
        listing = sha256_json([*origin, settings.text, settings.id, settings.language])
        self._listing = Journal(cache.root / "listings" / f"{listing}.jsonl", _entry)

    def kept(self, limit: int | None) -> Iterator[Row]:
        """The first `limit` listed rows, up to one whose speech somebody removed."""
        for number, entry in enumerate(self._listing.entries[:limit]):
            speech = None if entry == _END else self._cache.find(self._pin(number))
            if speech is None:
                return
            yield Row(entry["id"], entry["text"], entry["language"], speech)

    def ends_after(self, count: int) -> bool:
        """Whether the split is known to have so many rows."""
        return self._listing.entries[count:] == [_END]

    def fetched(self, rows: AudioRows, count: int, limit: int | None) -> Iterator[Row]:
        """The rows that follow on the first `count`, which are kept; they are listed now."""
        self._listing.cut(count)
        language = self._language_column(rows)
        number = count
        for number, values in enumerate(rows.after(count), start=count + 1):
            row = self._row(rows, values, language, number - 1)
            self._listing.append({"id": row.id, "text": row.text, "language": row.language})
            yield row
            if number == limit:
                return
        if number == 0:
            raise SettingError(
                "dataset.split",
                f"found no row in split {self._settings.split!r} of {self._settings.name}, "
                "accepted: a split with at least one",
            )
        self._listing.append(_END)

    def _row(
        self, rows: AudioRows, values: Mapping[str, Any], language: str | None, number: int
    ) -> Row:
        text = values.get(self._settings.text)
        if not isinstance(text, str | None):
            raise SettingError(
                "dataset.text",
                f"column {self._settings.text!r} of {self._settings.name} holds {text!r:.80} in "
                f"row {number}, accepted: texts",
            )
        name = values.get(self._settings.id) if self._settings.id else None
        speech = self._speech(rows, values.get(rows.audio), number)
        code = None if language is None else _code(rows, language, values.get(language))
        return Row(_shown(number if name is None else name), text, code, speech)

    def _speech(self, rows: AudioRows, audio: Any, number: int) -> Speech | Unusable:
        pin = self._pin(number)
        found = self._cache.find(pin)
        if found is not None:
            return found
        try:
            content = rows.content(audio)
        except InputError as error:
            return self._cache.refuse(pin, one_line(str(error)))
        except FileNotFoundError:
            return self._cache.refuse(pin, "the recording is missing")
        except fetch_errors() as error:
            raise SettingError(
                "dataset",
                f"the recording of row {number} of {self._settings.name} cannot be fetched "
                f"({error}); run it again to go on from there",
            ) from error
        return self._cache.decode_content(pin, content)

    def _pin(self, number: int) -> str:
        return sha256_json([*self._origin, number])

    def _language_column(self, rows: AudioRows) -> str | None:
        """The column with language codes, after all named columns were seen to be there."""
        named = {key: getattr(self._settings, key) for key in ("text", "id", "language")}
        for key, column in named.items():
            if column is not None and column not in rows.columns:
                near = difflib.get_close_matches(column, rows.columns, n=1)
                hint = f". Did you mean {near[0]!r}?" if near else ""
                raise SettingError(
                    f"dataset.{key}",
                    f"found {column!r}, accepted for {self._settings.name}: one of its columns "
                    f"{', '.join(rows.columns)}{hint}",
                )
        usual = [column for column in _LANGUAGE_COLUMNS if column in rows.columns]
        return named["language"] or next(iter(usual), None)


def _code(rows: AudioRows, column: str, value: Any) -> str | None:
    """A language code, also where the column holds the numbers of classes."""
    from datasets import ClassLabel

    kind = (rows.table.features or {}).get(column)
    if isinstance(kind, ClassLabel) and isinstance(value, int) and value < len(kind.names):
        # Splits without labels have -1.
        return _shown(kind.names[value]) if value >= 0 else None
    return None if value is None else _shown(value)


def _shown(value: Any) -> str:
    """What a data set of strangers names something by, fit to be printed."""
    return one_line(brief(str(value), _NAME_BYTES))


def _folder_digest(settings: DatasetSettings, digests: FileDigests) -> str:
    try:
        return folder_digest(Path(settings.name), digests.of)
    except (InputError, OSError) as error:
        raise SettingError("dataset.name", str(error)) from error


def _commit(name: str, revision: str) -> str:
    """The commit that a branch or tag of the hub is at."""
    if _COMMIT.fullmatch(revision):
        return revision
    try:
        from huggingface_hub import HfApi
    except ModuleNotFoundError:
        raise MissingExtraError("huggingface_hub", "eval") from None
    try:
        commit = HfApi().dataset_info(name, revision=revision).sha
    # What a hub answers may be anything.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SettingError(
            "dataset.revision",
            f"the hub does not tell the commit of {revision!r} of {name} ({reason}). Given the "
            "commit itself, it is not asked, and speech that is kept from an earlier run needs no "
            "network",
        ) from error
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise SettingError(
            "dataset.revision",
            f"the hub tells {commit!r:.80} as the commit of {revision!r} of {name}, accepted: 40 "
            "hexadecimal digits",
        )
    return commit


def _entry(value: Any, where: str) -> None:
    """The shape of a line of a listing."""
    if not isinstance(value, dict) or "end" not in value:
        _ROW(value, where)
