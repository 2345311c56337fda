"""What the graphs of a model hold, before anything is quantized."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from quantkit.quantize.storage.matrices import find_matrices
from quantkit.quantize.storage.tensors import float_constants


@dataclass(frozen=True)
class Inventory:
    """Sizes of a model's graphs in float.

    Attributes:
        parameters: elements of all floating point constants.
        bytes: of the same.
        matrices: bytes of each quantizable tensor, by "graph/tensor", in the order of the graphs.
    """

    parameters: int
    bytes: int
    matrices: Mapping[str, int]

    @classmethod
    def of(cls, graphs: Mapping[str, ir.Model]) -> Inventory:
        """Count the constants of open models by name."""
        floats = [t for graph in graphs.values() for t in float_constants(graph).values()]
        matrices = {
            f"{name}/{matrix.name}": matrix.tensor.nbytes
            for name, graph in graphs.items()
            for matrix in find_matrices(graph)
        }
        return cls(sum(int(t.size) for t in floats), sum(t.nbytes for t in floats), matrices)

    def kept(self, quantized: Iterable[str]) -> int:
        """Bytes that stay in float when these matrices are quantized."""
        return self.bytes - sum(self.matrices[name] for name in quantized)
