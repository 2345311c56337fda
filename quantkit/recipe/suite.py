"""The suite file as typed data: sets of speech, modes of PyTorch, gates, tolerances."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from quantkit.recipe.schema import NAME, ChunkMs
from quantkit.speech.sets import SetSettings
from quantkit.speech.settings import Strict

Measure = Literal["wer_difference", "token_error_rate", "kl_mean", "token_exact_utterances"]

#: Sets, modes and gates of a suite.
MOST = 64


class ModeSettings(Strict):
    """How PyTorch runs in a further row."""

    mode: Literal["streaming", "chunked", "offline"] = Field(
        description="with caches, in windows decoded on their own, or all at once"
    )
    chunk_ms: ChunkMs | None = Field(None, description="of a chunk or window; not offline")
    full_context: bool = Field(
        default=False,
        description="offline with everything to the right, not the model's own context",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        offline = self.mode == "offline"
        if offline and self.chunk_ms is not None:
            raise ValueError(f"found chunk_ms {self.chunk_ms} with mode 'offline': remove it")
        if not offline and self.chunk_ms is None:
            raise ValueError(f"found mode {self.mode!r} without chunk_ms: add its milliseconds")
        if not offline and self.full_context:
            raise ValueError(
                f"found full_context with mode {self.mode!r}, accepted: only with 'offline'"
            )
        return self


class GateSettings(Strict):
    """A claim about every scheme."""

    measure: Measure
    set: str | None = Field(
        None, max_length=100, description="the set of a wer_difference; absent: the average of all"
    )
    limit: float = Field(
        ge=0, le=1000, description="largest value; smallest share for token_exact_utterances"
    )
    confidence: float | None = Field(
        None,
        gt=0.5,
        lt=1,
        description="the bound of a one-sided interval has to keep the limit; absent: the value",
    )

    @property
    def at_least(self) -> bool:
        """Whether the limit is the smallest good value, not the largest."""
        return self.measure == "token_exact_utterances"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.set is not None and self.measure != "wer_difference":
            raise ValueError(
                f"found set {self.set!r} with measure {self.measure!r}, accepted: only with "
                "'wer_difference'; the others are of the whole suite"
            )
        if self.confidence is not None and self.at_least:
            raise ValueError(
                f"found confidence {self.confidence} with measure {self.measure!r}, whose share "
                "is counted and has no interval: remove it"
            )
        if self.limit > 1 and self.measure != "kl_mean":
            raise ValueError(f"found limit {self.limit}, accepted for {self.measure!r}: 0 to 1")
        return self


class RegressionSettings(Strict):
    """What a scheme may lose against a baseline; rates absolute, the others as a share."""

    wer: float = Field(
        0.002, ge=0, le=1, description="rise of the average word error rate, absolute"
    )
    token_error_rate: float = Field(0.01, ge=0, le=1, description="rise, absolute")
    kl_mean: float = Field(0.1, ge=0, le=1000, description="rise, relative")
    bytes: float = Field(0.01, ge=0, le=1000, description="growth, relative")
    step: float = Field(0.15, ge=0, le=1, description="slowing of a step, relative")


class SuiteSettings(Strict):
    """What schemes are compared on, and what they are held to."""

    schema_version: Literal[1] = Field(alias="schema", description="version of this format")
    name: str = Field(pattern=NAME, description="names the suite in reports")
    language: Literal["en"] = Field(description="of all sets; one with a text normalizer")
    sets: dict[str, SetSettings] = Field(max_length=MOST)
    distributions: int = Field(
        64,
        ge=0,
        le=10_000_000,
        description="utterances of a set whose encodings and distributions are compared",
    )
    long_form_s: float | None = Field(
        None,
        gt=0,
        le=14_400,
        description="seconds of one long recording, to see errors grow; absent: none",
    )
    modes: tuple[ModeSettings, ...] = Field((), max_length=MOST)
    gates: tuple[GateSettings, ...] = Field((), max_length=MOST)
    regression: RegressionSettings = RegressionSettings()

    @field_validator("modes")
    @classmethod
    def _distinct(cls, modes: tuple[ModeSettings, ...]) -> tuple[ModeSettings, ...]:
        for number, mode in enumerate(modes):
            if mode in modes[:number]:
                raise ValueError(f"found item {number} twice, accepted: modes that differ")
        return modes
