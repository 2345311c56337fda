"""Rows of a data set of the `datasets` library, with their audio as it is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantkit.core.errors import InputError, MissingExtraError
from quantkit.speech.settings import DatasetSource

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset


#: Of one recording: hours of it without compression.
_MOST_BYTES = 2**30


@dataclass(frozen=True)
class AudioRows:
    """One split of a data set.

    Attributes:
        name: of the data set, for messages.
        table: the rows, not decoded.
        audio: name of the audio column.
        local: whether the data set is a folder of this machine.
    """

    name: str
    table: Dataset | IterableDataset
    audio: str
    local: bool

    @property
    def columns(self) -> list[str]:
        """Names of all columns."""
        return list(self.table.column_names or [])

    @property
    def count(self) -> int:
        """Number of rows as the data set's card tells; 0 where it does not."""
        split = (self.table.info.splits or {}).get(str(self.table.split))
        told = split.num_examples if split else 0
        return told if isinstance(told, int) and told > 0 else 0

    def after(self, count: int) -> Iterator[dict[str, Any]]:
        """The rows that follow on the first `count` ones.

        Raises:
            InputError: a row cannot be fetched or read.
        """
        try:
            yield from self.table.skip(count)
        except ImportError as error:
            raise InputError(
                f"{self.name}: {error} Data sets that hold their audio in parquet files need no "
                "such package: on the hub see the revision refs/convert/parquet; for audio files "
                "in a folder name that with the key folder, not with dataset"
            ) from error
        # What a file of a stranger makes of the libraries that read it is not ours to list.
        except Exception as error:
            raise InputError(
                f"{self.name}: its rows cannot be read any further ({_told(error)}); where that is "
                "a matter of the connection, run it again to go on from there"
            ) from error

    def content(self, audio: Any) -> bytes:
        """The content of an audio file, from an undecoded value of the audio column.

        A row of the hub may name files of the hub and what was fetched of it, no others.

        Raises:
            InputError: the value is no recording, or of one that it may not name or is too large.
            OSError: it names a file that cannot be read.
        """
        found = audio if isinstance(audio, Mapping) else {}
        content, path = found.get("bytes"), found.get("path")
        if isinstance(content, bytes):
            return content
        if content is not None or not isinstance(path, str):
            raise InputError("it has no recording")
        if not self.local and not _of_the_hub(path):
            raise InputError(f"its recording lies outside of the data set, at {path!r:.200}")
        import fsspec

        try:
            with fsspec.open(path, "rb") as file:
                content = file.read(_MOST_BYTES + 1)
        except (ValueError, ImportError, NotImplementedError) as error:
            raise InputError(f"its recording cannot be read ({error})") from error
        if len(content) > _MOST_BYTES:
            raise InputError(f"its recording takes more than {_MOST_BYTES} bytes")
        return bytes(content)


def open_rows(source: DatasetSource, *, revision: str | None, streaming: bool = True) -> AudioRows:
    """Open one split of a data set.

    Args:
        source: which one.
        revision: the branch, tag or commit of a data set of the hub.
        streaming: fetch rows as they are read, not the whole data set before.

    Raises:
        InputError: it cannot be opened, or has no or several columns of audio.
        MissingExtraError: `datasets` is not installed.
    """
    try:
        from datasets import Audio, load_dataset
    except ModuleNotFoundError:
        raise MissingExtraError("datasets", "eval") from None
    try:
        table = load_dataset(
            source.name,
            source.config,
            split=source.split,
            revision=revision,
            streaming=streaming,
        )
    except Exception as error:
        # Where building it failed, only the cause says of what.
        reason = f"{_told(error)}: {error.__cause__}" if error.__cause__ else _told(error)
        raise InputError(f"cannot open {source.name}: {reason}") from error
    features = table.features or {}
    typed = [name for name, kind in features.items() if isinstance(kind, Audio)]
    columns = [str(name) for name in table.column_names or []]
    found = typed or [name for name in columns if name == "audio"]
    if len(found) != 1:
        raise InputError(
            f"{source.name}: found {len(found)} columns of audio among "
            f"{', '.join(columns) or 'unnamed ones'}, accepted: one, typed as audio or named so"
        )
    # As stored: decoding by `datasets` would need one more library.
    table = table.cast_column(found[0], Audio(decode=False))
    return AudioRows(source.name, table, found[0], source.local)


def fetch_errors() -> tuple[type[Exception], ...]:
    """What `datasets` and the hub's client raise over data sets and connections."""
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HfHubHTTPError

    # The base is that of the HTTP library, which changes with the client's version.
    return (DatasetsError, OSError, ValueError, *HfHubHTTPError.__bases__)


def _told(error: Exception) -> str:
    """What an error says, with its type where that is no error over data and connections."""
    return str(error) if isinstance(error, fetch_errors()) else f"{type(error).__name__}: {error}"


def _of_the_hub(path: str) -> bool:
    """Whether a path is of the hub, also inside of an archive there, or of what it left here."""
    from huggingface_hub.constants import HF_HOME

    if "://" in path:
        return path.rpartition("::")[2].startswith("hf://")
    kept = Path(HF_HOME).resolve()
    return Path(path).is_absolute() and Path(path).resolve().is_relative_to(kept)
