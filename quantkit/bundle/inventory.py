"""What an unquantized graph holds: its weights, counted as quantize.json counts quantized ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx_ir as ir

GRAPHS = ("encoder", "predictor", "joint")


def inventory(model: Path) -> dict[str, Any]:
    """Parameters, bits per weight and matrices of each graph of a model directory."""
    return {graph: _count(ir.load(model / f"{graph}.onnx")) for graph in GRAPHS}


def _count(model: ir.Model) -> dict[str, Any]:
    floats = [
        value
        for initializer in model.graph.initializers.values()
        if (value := initializer.const_value) is not None and value.dtype.is_floating_point()
    ]
    parameters = sum(tensor.size for tensor in floats)
    bits = sum(tensor.nbytes for tensor in floats) * 8
    return {
        "parameters": parameters,
        "bits_per_weight": bits / parameters if parameters else 0.0,
        "tensors": [
            {
                "name": tensor.name,
                "shape": list(tensor.shape.numpy()),
                "bits": tensor.dtype.itemsize * 8,
                "block_size": None,
                "bytes": tensor.nbytes,
                "relative_error": 0.0,
            }
            for tensor in floats
            if len(tensor.shape) > 1
        ],
    }
