"""The published recipe's quantizers, run through Olive itself: what other schemes have to beat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import model_validator

from quantkit.quantize.options import AccuracyLevel, BlockSize
from quantkit.quantize.schemes.graph_scheme import GraphScheme
from quantkit.quantize.schemes.olive_process import run_olive

_PASSES = {"kquant": "OnnxKQuantQuantization", "rtn": "OnnxBlockWiseRtnQuantization"}


class OliveSettings(GraphScheme):
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

    def rewrite(self, graphs: Mapping[str, Path], out: Path) -> dict[str, Path]:
        """Quantize graph files by one Olive process; see GraphScheme.

        Raises:
            OliveError: Olive failed.
            MissingExtraError: olive-ai is not installed.
        """
        components = [
            {"type": "ONNXModel", "config": {"model_path": str(path.resolve())}}
            for path in graphs.values()
        ]
        source = {
            "type": "CompositeModel",
            "model_components": components,
            "model_component_names": list(graphs),
        }
        models = run_olive(self._pass(), source, len(graphs), out.resolve()).models
        return {path.stem: path for path in models}

    def _pass(self) -> dict[str, Any]:
        settings = {
            "type": _PASSES[self.algorithm],
            "bits": self.bits,
            "block_size": self.block_size,
            "accuracy_level": self.accuracy_level,
        }
        return settings | ({"is_symmetric": self.symmetric} if self.algorithm == "rtn" else {})
