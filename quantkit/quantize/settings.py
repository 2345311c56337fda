"""The `quantize` section of a recipe: one settings class per scheme, told apart by `scheme`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from quantkit.core.errors import InputError
from quantkit.quantize.schemes.algorithms import Algorithm
from quantkit.quantize.schemes.int8_dynamic import Int8DynamicSettings
from quantkit.quantize.schemes.olive import OliveSettings
from quantkit.quantize.schemes.ort_dynamic import OrtDynamicSettings
from quantkit.quantize.widths.mixed import MixedSettings

FileScheme = Algorithm | Int8DynamicSettings | OliveSettings | OrtDynamicSettings
QuantizeSettings = Annotated[FileScheme | MixedSettings, Field(discriminator="scheme")]

_ADAPTER: TypeAdapter[FileScheme] = TypeAdapter(
    Annotated[FileScheme, Field(discriminator="scheme")]
)


def parse_rule(text: str) -> dict[str, Any]:
    """Read a rule of the command line, GLOB=BITS or GLOB=BITSxBLOCK_SIZE; see Rule.

    Raises:
        InputError: it is written otherwise.
    """
    glob, _, width = text.rpartition("=")
    bits, _, block_size = width.partition("x")
    if not glob or not bits.isdecimal() or not (block_size or "0").isdecimal():
        raise InputError(
            f"--rule: found {text!r}, accepted: GLOB=BITS or GLOB=BITSxBLOCK_SIZE, such as "
            "'net/head*=8x32'"
        )
    return {
        "match": glob,
        "bits": int(bits[:9]),
        **({"block_size": int(block_size[:9])} if block_size else {}),
    }


def parse_settings(values: Mapping[str, Any]) -> FileScheme:
    """Read settings that are the same for all tensors, as the command line has them.

    Raises:
        InputError: a key is unknown or a value is not accepted; one line per problem.
    """
    try:
        return _ADAPTER.validate_python(dict(values))
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, item['loc']))}: {item['msg'].removeprefix('Value error, ')} "
            f"(found {item['input']!r})"
            for item in error.errors()
        ]
        raise InputError("quantization settings:\n  " + "\n  ".join(problems)) from error
