"""The algorithms that quantize one matrix: one settings class each, told apart by `scheme`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from quantkit.quantize.schemes.gptq import GptqSettings
from quantkit.quantize.schemes.kquant import KQuantSettings
from quantkit.quantize.schemes.rtn import RtnSettings

Algorithm = RtnSettings | KQuantSettings | GptqSettings
AlgorithmSettings = Annotated[Algorithm, Field(discriminator="scheme")]
