"""The content of report.json: stable keys that scripts read; what was not measured is null.

Reports evolve: a reader ignores keys that it does not know, and takes an absent key whose value
may be null, or a list, as not measured.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Part(BaseModel):
    """A piece of a report."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Excluded(Part):
    """An utterance that was not evaluated."""

    id: str
    reason: str


class SuiteSet(Part):
    """One set of the suite, as evaluated."""

    source: str
    revision: str | None = None
    utterances: int
    words: int
    duration_s: float
    digest: str = Field(description="over the digests of the utterances, in order")
    excluded: list[Excluded] = []


class Suite(Part):
    """What was evaluated on."""

    name: str
    language: str
    normalizer: str = Field(description="name and version")
    sets: dict[str, SuiteSet]
    problems: list[str] = Field([], description="sets that could not be used")


class Statistics(Part):
    """How intervals and p-values were computed."""

    confidence: float
    resamples: int
    seed: int
    power: float = Field(description="of the minimum detectable differences")


class Rate(Part):
    """A word error rate with its interval, and its paired difference from PyTorch's."""

    wer: float
    low: float
    high: float
    delta: float | None = Field(
        None, description="minus the reference's; null in the reference's row"
    )
    delta_low: float | None = None
    delta_high: float | None = None
    p_value: float | None = None
    minimum_detectable: float | None = Field(
        None, description="smallest absolute difference that the utterances would show"
    )


class SetRate(Rate):
    """Of one set."""

    utterances: int
    words: int
    substitutions: int
    deletions: int
    insertions: int


class LengthRate(Part):
    """The difference of word error rates of utterances from `from_s` up to `to_s` seconds."""

    from_s: float
    to_s: float | None = None
    utterances: int
    words: int
    wer: float
    delta: float
    delta_low: float
    delta_high: float


class Divergences(Part):
    """KL in nats of all decisions of the utterances compared deeply, with the mean's interval."""

    mean: float
    mean_low: float
    mean_high: float
    p99: float
    max: float


class Parity(Part):
    """Token by token against PyTorch in chunks of the same length."""

    reference: str
    utterances: int
    token_exact_utterances: int
    reference_tokens: int
    token_errors: int
    token_error_rate: float | None = None
    token_error_rate_low: float | None = None
    token_error_rate_high: float | None = None
    deep_utterances: int
    near_tie_errors: int = Field(description="of the utterances compared deeply")
    decisions: int
    kl: Divergences | None = None
    encoder_max_abs_error: float | None = None
    encoder_max_abs_error_by_chunk: list[float] = []


class Ratio(Part):
    """Of step times in the same rounds, with a 95 % interval."""

    median: float
    low: float
    high: float


class Bench(Part):
    """Speed and memory, measured beside the fp32 graphs."""

    machine: str
    threads: int
    step_p50_ms: float
    step_p95_ms: float
    rtfx: float | None = None
    load_s: float
    rss_bytes: int
    faster_than_fp32: Ratio | None = None


class Link(Part):
    """One step of the chain PyTorch, export, fusion, quantization: what it alone changed."""

    step: Literal["export", "fusion", "quantization"]
    utterances: int
    token_exact_utterances: int
    reference_tokens: int
    token_errors: int
    word_errors_added: int = Field(description="word errors after the step minus before it")


class LongForm(Part):
    """One recording of minutes, chunk by chunk."""

    duration_s: float
    reference_tokens: int
    token_errors: int
    encoder_errors: list[float] = Field(description="largest absolute error of each chunk")


class LayerDivergence(Part):
    """Mean KL, in nats, of the fp32 model with only this layer as the scheme stores it."""

    layer: str
    kl_mean: float


class Scheme(Part):
    """One row: PyTorch in a mode, the fp32 graphs, or a recipe."""

    name: str
    role: Literal["pytorch", "fp32", "scheme"]
    mode: Literal["streaming", "chunked", "offline"]
    chunk_ms: int | None = None
    recipe: str | None = Field(None, description="name of the recipe")
    total_bytes: int | None = None
    bits_per_weight: float | None = None
    latency_s: float | None = Field(None, description="algorithmic latency")
    sets: dict[str, SetRate]
    macro: Rate
    by_length: list[LengthRate] = []
    parity: Parity | None = None
    chain: list[Link] = []
    long_form: LongForm | None = None
    layers: list[LayerDivergence] = []
    bench: Bench | None = None


class Gate(Part):
    """A limit on a measured value; `value` is the bound of an interval where it has a confidence.

    `margin` is how far the value is on the good side of the limit, negative where it missed.
    """

    name: str
    scheme: str
    passed: bool
    value: float
    limit: float
    at_least: bool
    margin: float
    confidence: float | None = None
    evidence: str = Field(description="the key of this report that holds the numbers")


class AlignedWord(Part):
    """A word of the text above a decoded one; empty where it has no counterpart."""

    said: str
    decoded: str


class Worst(Part):
    """An utterance on which a scheme has more word errors than PyTorch."""

    set: str
    id: str
    digest: str
    duration_s: float
    scheme: str
    word_errors: int
    reference_word_errors: int
    words: int
    scheme_alignment: list[AlignedWord]
    reference_alignment: list[AlignedWord]


class Report(Part):
    """The whole comparison."""

    schema_version: Literal[1] = Field(
        1, alias="schema", description="version; keys may be added without changing it"
    )
    versions: dict[str, str]
    command: str = Field(description="what makes the report again")
    checkpoint: str = Field(description="name and sha256 of the checkpoint")
    suite: Suite
    statistics: Statistics
    reference: str = Field(description="the scheme that `delta` is against")
    schemes: list[Scheme]
    gates: list[Gate] = []
    worst: list[Worst] = []

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


def report_schema() -> dict[str, Any]:
    """The JSON Schema of report.json."""
    title = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return title | Report.model_json_schema(by_alias=True, mode="serialization")
