"""The `calibrate` section of a recipe: where the speech comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from quantkit.core.names import may_name_a_file


def _of_a_file(text: str) -> str:
    if not may_name_a_file(text):
        raise ValueError(
            f"found {text!r:.200}, accepted: no NUL and no name of more than 255 bytes, which no "
            "file has"
        )
    return text


#: What is or may be the path of a file, and what hubs and tables name things by.
NameText = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_of_a_file)]
#: So many recordings.
Count = Annotated[int, Field(gt=0, le=10_000_000)]


class Strict(BaseModel):
    """Unknown keys and converted types are errors."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, populate_by_name=True, allow_inf_nan=False
    )


class DatasetSource(BaseModel):
    """A split of a data set that the `datasets` library opens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: NameText = Field(
        description="ORGANISATION/NAME on the hub, or a folder as ./FOLDER or /FOLDER",
    )
    config: NameText | None = None
    split: NameText
    revision: NameText | None = Field(
        None, description="the commit that pins a data set of the hub"
    )

    @property
    def local(self) -> bool:
        """Whether the name is a folder of this machine."""
        return self.name.startswith((".", "/"))

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.local and self.revision is not None:
            raise ValueError(
                f"found revision {self.revision!r} for the folder {self.name!r}; only a data set "
                "of the hub has revisions: remove it"
            )
        if not self.local and self.revision is None:
            raise ValueError(
                f"found {self.name!r} without a revision; a data set of the hub has to be pinned, "
                "because its files change: add revision: COMMIT from its history, or write a "
                f"folder as ./{self.name}"
            )
        return self


class DatasetSettings(DatasetSource):
    """The first recordings of a data set."""

    split: NameText = "train"
    utterances: Count = 256


class CalibrateSettings(BaseModel):
    """Speech whose activations weigh the quantization errors; one of its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    manifest: NameText | None = Field(
        None, description="JSON lines that name recordings; relative to the caller"
    )
    folder: NameText | None = Field(
        None, description="a folder of recordings, searched with all below it; relative likewise"
    )
    dataset: DatasetSettings | None = None

    @property
    def key(self) -> str:
        """The key of the recipe that names the speech."""
        return next(f"calibrate.{name}" for name in self.given())

    def given(self) -> list[str]:
        """Names of the keys that are set."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        refuse_all_but_one(self.given(), list(type(self).model_fields))
        return self


def refuse_all_but_one(given: Sequence[str], accepted: Sequence[str]) -> None:
    """Refuse speech with no source, or with several.

    Raises:
        ValueError: with what was found and what is accepted.
    """
    if len(given) != 1:
        raise ValueError(
            f"found {' and '.join(given) or 'no source'}, accepted: exactly one of "
            f"{', '.join(accepted)}"
        )
