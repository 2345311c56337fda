"""A set of a suite: speech with texts, from a manifest, a folder or a data set."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from quantkit.speech.settings import Count, DatasetSource, NameText, Strict, refuse_all_but_one

#: Name of the set of one recording that is joined from the others.
LONG_FORM = "long-form"


class DatasetSettings(DatasetSource):
    """A split of a data set, and the columns that are read."""

    text: NameText = Field(description="the column with what is said")
    id: NameText | None = Field(
        None, description="the column that names a row; absent: the row's number"
    )
    language: NameText | None = Field(
        None, description="the column with a language code; absent: the usual names"
    )
    streaming: bool = Field(
        default=True, description="fetch row by row; false: the whole data set first"
    )


class SetSettings(Strict):
    """Speech with texts from one source."""

    manifest: NameText | None = Field(
        None, description="JSON lines with audio and text; relative to the caller"
    )
    folder: NameText | None = Field(
        None, description="recordings, each with its text in a .txt beside it"
    )
    dataset: DatasetSettings | None = None
    utterances: Count | None = Field(None, description="the first so many; absent: all")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        names = ["manifest", "folder", "dataset"]
        refuse_all_but_one([name for name in names if getattr(self, name) is not None], names)
        return self
