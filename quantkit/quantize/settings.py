"""What a recipe says about quantization: plain data, one class per scheme, told apart by `scheme`.

`schemes.registry` maps the settings of one matrix to the function that quantizes it, and
`schemes.graph_scheme` those of other tools to theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from quantkit.core.errors import InputError

Bits = Literal[2, 4, 8]
BlockSize = Literal[16, 32, 64, 128, 256]
# 0 leaves the choice to the runtime (float32), 1 asks for float32, 4 allows int8 activations.
AccuracyLevel = Literal[0, 1, 4]

#: What an error of k-quant costs. none: all weights alike; weight: block RMS + |w|, as Olive and
#: ONNX Runtime have it; activation: the mean square of the input that a weight multiplies.
Importance = Literal["none", "weight", "activation"]
Grid = Literal["rtn", "kquant"]
Order = Literal["activation", "stored"]

# Where ONNX Runtime has a 2-bit kernel; elsewhere it computes the same, 10 to 30 times slower.
TWO_BIT_BLOCKS = (32, 64, 128)
TWO_BIT_LEVEL = 4


class Rule(BaseModel):
    """Another width for the tensors that a glob matches; the first rule that matches counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    match: str = Field(min_length=1, description="glob on graph/tensor, for example encoder/*")
    bits: Bits | None = None
    block_size: BlockSize | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.bits is None and self.block_size is None:
            raise ValueError("a rule has to set bits or block_size")
        return self


class Scheme(BaseModel):
    """What the settings of every scheme say, whatever it works on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scheme: str

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions that decide the stored bytes, besides those for graphs and arrays."""
        return ()

    @property
    def needs_activations(self) -> bool:
        """Whether the algorithm wants the mean squared inputs of the calibration stage."""
        return self.needs_hessians

    @property
    def needs_hessians(self) -> bool:
        """Whether it wants the full matrices of second moments as well."""
        return False


class MatrixScheme(Scheme):
    """Settings that all schemes on single matrices share."""

    exclude: tuple[str, ...] = Field(default=(), description="globs of tensors that stay float32")
    rules: tuple[Rule, ...] = ()

    @property
    def libraries(self) -> tuple[str, ...]:
        """The compiler of the loops."""
        return ("numba",)

    def following(self, rule: Rule) -> BlockScheme:
        """What quantizes a tensor that a rule matches."""
        raise NotImplementedError

    def fitting(self, rows: int) -> BlockScheme:
        """What quantizes a table with so many values a row."""
        raise NotImplementedError

    def blind(self) -> MatrixScheme:
        """What quantizes a tensor whose inputs could not be measured."""
        return self


class BlockScheme(MatrixScheme):
    """Settings of the schemes that store blocks of weights. A subclass is one algorithm."""

    bits: Bits = 4
    block_size: BlockSize = 32
    accuracy_level: AccuracyLevel = 4
    equalize: bool = Field(
        default=False, description="move scale from layer norms into matrices where that helps"
    )

    @model_validator(mode="after")
    def _has_kernels(self) -> Self:
        """Refuse 2-bit settings that would crawl, those that a rule makes included."""
        made = [(("rules", index), self.following(rule)) for index, rule in enumerate(self.rules)]
        refuse_slow(type(self).__name__, [(("bits",), self), *made])
        return self

    @property
    def needs_hessians(self) -> bool:
        """Whether the algorithm or equalization wants second moments of all pairs of inputs."""
        return self.equalize

    def following(self, rule: Rule) -> Self:
        """These settings with the widths of a rule."""
        widths = {"bits": rule.bits, "block_size": rule.block_size}
        return self.model_copy(update={k: v for k, v in widths.items() if v is not None})

    def fitting(self, rows: int) -> Self:
        """These settings with the largest block size, from their own down, that divides rows."""
        sizes = (size for size in get_args(BlockSize) if size <= self.block_size)
        return self.model_copy(update={"block_size": max(s for s in sizes if rows % s == 0)})

    def blind(self) -> BlockScheme:
        """The same without equalization."""
        return self.model_copy(update={"equalize": False})


class RtnSettings(BlockScheme):
    """Round to nearest, with or without a zero point per block."""

    scheme: Literal["rtn"] = "rtn"
    symmetric: bool = False


class KQuantSettings(BlockScheme):
    """k-quant with a choice of what an error costs.

    none: all weights alike; weight: block RMS + |w|, as Olive and ONNX Runtime have it; activation:
    the mean square of the input that a weight is multiplied with, from the calibration stage.
    """

    scheme: Literal["kquant"] = "kquant"
    importance: Importance = "weight"

    @property
    def needs_activations(self) -> bool:
        """Whether the calibration stage has to run first."""
        return self.importance == "activation" or self.needs_hessians

    def blind(self) -> KQuantSettings:
        """The same with an importance that follows from the weights."""
        importance = "weight" if self.importance == "activation" else self.importance
        return self.model_copy(update={"equalize": False, "importance": importance})


class GptqSettings(BlockScheme):
    """Error compensation on the grid of another scheme."""

    scheme: Literal["gptq"] = "gptq"
    grid: Grid = Field("kquant", description="how scale and zero point of a block are chosen")
    order: Order = Field("activation", description="which rows are rounded first: heavy, or last")
    damping: float = Field(
        0.01, gt=0, le=1, description="share of the mean diagonal that is added to the Hessian's"
    )
    sweeps: int = Field(2, ge=0, le=20, description="passes of coordinate descent afterwards")

    @property
    def libraries(self) -> tuple[str, ...]:
        """The compiler of the loops, and what factorizes the Hessian."""
        return (*super().libraries, "scipy")

    @property
    def needs_hessians(self) -> bool:
        """Always."""
        return True

    def blind(self) -> KQuantSettings:
        """k-quant in the same widths."""
        return KQuantSettings(
            bits=self.bits, block_size=self.block_size, accuracy_level=self.accuracy_level
        )


class Int8DynamicSettings(MatrixScheme):
    """int8 weights with a scale and a zero point a column, activations quantized row by row.

    Tables, and tensors that a rule matches, are stored in blocks by k-quant instead, in 8 bits if
    the rule says nothing else.
    """

    scheme: Literal["int8-dynamic"] = "int8-dynamic"

    def following(self, rule: Rule) -> KQuantSettings:
        """k-quant with the widths of a rule."""
        return KQuantSettings(bits=8).following(rule)

    def fitting(self, rows: int) -> KQuantSettings:
        """k-quant in blocks that divide a table's rows."""
        return KQuantSettings(bits=8).fitting(rows)


class OliveSettings(Scheme):
    """One of Olive's passes on every MatMul; round-to-nearest takes embedding tables as well.

    Gemm nodes stay float32, which Olive does not know. Its k-quant always has zero points; its
    round-to-nearest has them unless `symmetric`, which is Olive's own default.
    """

    scheme: Literal["olive"] = "olive"
    algorithm: Literal["kquant", "rtn"] = "kquant"
    bits: Literal[4, 8] = 4
    block_size: BlockSize = 32
    accuracy_level: AccuracyLevel = 4
    symmetric: bool = False

    @model_validator(mode="after")
    def _has_zero_points(self) -> Self:
        if self.symmetric and self.algorithm == "kquant":
            raise ValueError("symmetric: found true, accepted with algorithm kquant: false")
        return self

    @property
    def libraries(self) -> tuple[str, ...]:
        """Olive."""
        return ("olive-ai",)


class OrtDynamicSettings(Scheme):
    """uint8 weights with one scale a tensor, activations quantized as they come.

    These are the settings of sherpa-onnx's NeMo exports: all operators that ONNX Runtime knows,
    convolutions included, but for the stem's first one, which quantkit exports in another way.
    """

    scheme: Literal["ort-dynamic-int8"] = "ort-dynamic-int8"


#: The algorithms that quantize one matrix in blocks.
Algorithm = Annotated[RtnSettings | KQuantSettings | GptqSettings, Field(discriminator="scheme")]
#: The tools that choose the tensors, and the way they are stored, by themselves.
ToolScheme = OliveSettings | OrtDynamicSettings
FileScheme = RtnSettings | KQuantSettings | GptqSettings | Int8DynamicSettings | ToolScheme


def parse_settings(values: Mapping[str, Any]) -> FileScheme:
    """Read settings that are the same for all tensors, as the command line has them.

    Raises:
        InputError: a key is unknown or a value is not accepted; one line per problem.
    """
    adapter: TypeAdapter[FileScheme] = TypeAdapter(
        Annotated[FileScheme, Field(discriminator="scheme")]
    )
    try:
        return adapter.validate_python(dict(values))
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, item['loc']))}: {item['msg'].removeprefix('Value error, ')} "
            f"(found {item['input']!r})"
            for item in error.errors()
        ]
        raise InputError("quantization settings:\n  " + "\n  ".join(problems)) from error


def refuse_slow(title: str, named: Iterable[tuple[tuple[str | int, ...], BlockScheme]]) -> None:
    """Refuse widths that the runtime has no fast kernel for, each under its key.

    Raises:
        ValidationError: of the model `title`, with every such key.
    """
    wrong = [
        InitErrorDetails(type="value_error", loc=key, input=2, ctx={"error": ValueError(why)})
        for key, settings in named
        if (why := _why_slow(settings))
    ]
    if wrong:
        raise ValidationError.from_exception_data(title, wrong)


def _why_slow(settings: BlockScheme) -> str:
    """Why the runtime has no fast kernel for these widths; empty if it has."""
    if settings.bits != 2 or (
        settings.block_size in TWO_BIT_BLOCKS and settings.accuracy_level == TWO_BIT_LEVEL
    ):
        return ""
    return (
        f"2 bits with block_size {settings.block_size} and accuracy_level "
        f"{settings.accuracy_level} have no kernel in ONNX Runtime and would run 10 to 30 times "
        "slower; accepted with 2 bits: block_size "
        f"{', '.join(map(str, TWO_BIT_BLOCKS))} with accuracy_level {TWO_BIT_LEVEL}"
    )
