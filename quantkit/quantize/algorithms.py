"""The algorithms that quantize one matrix: one settings class each, told apart by `scheme`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from quantkit.quantize.gptq import GptqSettings
from quantkit.quantize.kquant import KQuantSettings
from quantkit.quantize.rtn import RtnSettings

Algorithm = RtnSettings | KQuantSettings | GptqSettings
AlgorithmSettings = Annotated[Algorithm, Field(discriminator="scheme")]
