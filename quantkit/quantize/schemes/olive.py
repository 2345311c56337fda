"""The published recipe's quantizers, run through Olive itself: what other schemes have to beat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantkit.quantize.schemes.olive_process import run_olive
from quantkit.quantize.settings import OliveSettings

_PASSES = {"kquant": "OnnxKQuantQuantization", "rtn": "OnnxBlockWiseRtnQuantization"}


def quantize_by_olive(
    graphs: Mapping[str, Path], settings: OliveSettings, out: Path
) -> dict[str, Path]:
    """Quantize graph files by one Olive process.

    Args:
        graphs: float32 models by name. Their constants are initializers.
        settings: of Olive's pass.
        out: an empty directory.

    Returns:
        The quantized models by name, somewhere below `out`.

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
    models = run_olive(_pass(settings), source, len(graphs), out.resolve()).models
    return {path.stem: path for path in models}


def _pass(settings: OliveSettings) -> dict[str, Any]:
    values = {
        "type": _PASSES[settings.algorithm],
        "bits": settings.bits,
        "block_size": settings.block_size,
        "accuracy_level": settings.accuracy_level,
    }
    return values | ({"is_symmetric": settings.symmetric} if settings.algorithm == "rtn" else {})
