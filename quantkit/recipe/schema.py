"""The recipe as typed data. Its JSON Schema is what `quantkit schema` prints."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from quantkit.quantize.settings import FileScheme
from quantkit.quantize.widths.settings import MixedSettings
from quantkit.recipe.source import parse_source
from quantkit.speech.settings import CalibrateSettings, Count, NameText, Strict

QuantizeSettings = Annotated[FileScheme | MixedSettings, Field(discriminator="scheme")]

#: Milliseconds of audio that a model takes at once.
ChunkMs = Annotated[int, Field(gt=0, le=60_000, multiple_of=10)]
#: What artifacts, suites and their sets are called; files are named so.
NAME = r"^[a-z0-9][a-z0-9._-]{0,99}$"


class ModelSettings(Strict):
    """Which checkpoint, at which latency."""

    source: NameText = Field(
        description="'demo', a .nemo file, or hf://ORGANISATION/NAME@REVISION", examples=["demo"]
    )
    chunk_ms: ChunkMs = Field(
        560, description="milliseconds of audio per step; one that the checkpoint was trained with"
    )

    @field_validator("source")
    @classmethod
    def _known_form(cls, text: str) -> str:
        parse_source(text)
        return text


class SensitivitySettings(Strict):
    """How the damage of each tensor is measured; the speech is that of `calibrate`."""

    utterances: Count | None = Field(
        None, description="how many, spread evenly over the speech; absent: all"
    )


class Gates(Strict):
    """What the artifact has to reach against PyTorch; at least one."""

    token_exact_utterances: float | None = Field(
        None, gt=0, le=1, description="smallest share of utterances with identical tokens"
    )
    token_error_rate: float | None = Field(
        None, ge=0, lt=1, description="largest share of token errors against the reference"
    )
    kl_mean: float | None = Field(
        None,
        ge=0,
        le=1000,
        description="largest mean divergence of the joint's distributions, nats",
    )
    wer_difference: float | None = Field(
        None, ge=0, lt=1, description="largest rise of the word error rate, absolute"
    )


class VerifySettings(Strict):
    """How the artifact is proven."""

    manifest: NameText = Field(description="JSON lines with audio and text; relative to the caller")
    gates: Gates


class Recipe(Strict):
    """What to build: a checkpoint, how to make it small, and what proves it."""

    schema_version: Literal[1] = Field(alias="schema", description="version of this format")
    name: str = Field(pattern=NAME, description="names the artifact")
    model: ModelSettings
    calibrate: CalibrateSettings | None = None
    quantize: QuantizeSettings | None = Field(None, description="absent: fp32")
    sensitivity: SensitivitySettings | None = None
    verify: VerifySettings

    def canonical(self) -> dict[str, Any]:
        """The recipe with every default spelled out, as plain data with the keys of the YAML."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def needs_calibration(self) -> bool:
        """Whether the quantizer weighs errors by measured activations."""
        return self.quantize is not None and self.quantize.needs_activations

    def needs_hessians(self) -> bool:
        """Whether it wants all second moments of the activations, not only their mean squares."""
        return self.quantize is not None and self.quantize.needs_hessians

    def needs_sensitivity(self) -> bool:
        """Whether widths are chosen by measured damage."""
        return isinstance(self.quantize, MixedSettings) and self.quantize.needs_sensitivity
