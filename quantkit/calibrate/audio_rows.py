"""Rows of a data set of the `datasets` library, with their audio as it is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantkit.calibrate.settings import DatasetSource
from quantkit.core.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset


@dataclass(frozen=True)
class AudioRows:
    """One split of a data set.

    Attributes:
        name: of the data set, for messages.
        table: the rows, not decoded.
        audio: name of the audio column.
    """

    name: str
    table: Dataset | IterableDataset
    audio: str

    @property
    def columns(self) -> list[str]:
        """Names of all columns."""
        return list(self.table.column_names or [])

    @property
    def count(self) -> int:
        """Number of rows as the data set's card tells; 0 where it does not."""
        split = (self.table.info.splits or {}).get(str(self.table.split))
        return int(split.num_examples) if split else 0

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
        except fetch_errors() as error:
            raise InputError(
                f"{self.name}: its rows cannot be read any further ({error}); where that is a "
                "matter of the connection, run it again to go on from there"
            ) from error


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
    except fetch_errors() as error:
        # Where building it failed, only the cause says of what.
        reason = f"{error}: {error.__cause__}" if error.__cause__ else str(error)
        raise InputError(f"cannot open {source.name}: {reason}") from error
    features = table.features or {}
    typed = [name for name, kind in features.items() if isinstance(kind, Audio)]
    columns = table.column_names or []
    found = typed or [name for name in columns if name == "audio"]
    if len(found) != 1:
        raise InputError(
            f"{source.name}: found {len(found)} columns of audio among "
            f"{', '.join(columns) or 'unnamed ones'}, accepted: one, typed as audio or named so"
        )
    # As stored: decoding by `datasets` would need one more library.
    return AudioRows(source.name, table.cast_column(found[0], Audio(decode=False)), found[0])


def audio_bytes(audio: Mapping[str, Any]) -> bytes:
    """The content of an audio file, from an undecoded value of an audio column.

    Raises:
        OSError: the row names a file that cannot be read.
    """
    if audio["bytes"] is not None:
        return bytes(audio["bytes"])
    import fsspec

    with fsspec.open(audio["path"], "rb") as file:
        return bytes(file.read())


def fetch_errors() -> tuple[type[Exception], ...]:
    """What `datasets` and the hub's client raise over data sets and connections."""
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HfHubHTTPError

    # The base is that of the HTTP library, which changes with the client's version.
    return (DatasetsError, OSError, ValueError, *HfHubHTTPError.__bases__)
