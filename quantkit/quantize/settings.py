"""The `quantize` section of a recipe: one settings class per scheme, told apart by `scheme`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from quantkit.core.errors import InputError
from quantkit.quantize.gptq import GptqSettings
from quantkit.quantize.kquant import KQuantSettings
from quantkit.quantize.olive import OliveSettings
from quantkit.quantize.ort_dynamic import OrtDynamicSettings
from quantkit.quantize.rtn import RtnSettings

Scheme = RtnSettings | KQuantSettings | GptqSettings | OliveSettings | OrtDynamicSettings
QuantizeSettings = Annotated[Scheme, Field(discriminator="scheme")]

_ADAPTER: TypeAdapter[Scheme] = TypeAdapter(QuantizeSettings)


def parse_settings(values: Mapping[str, Any]) -> Scheme:
    """Read settings from plain values, as the command line has them.

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
