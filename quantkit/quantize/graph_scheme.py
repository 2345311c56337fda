"""Schemes of other tools, which take whole graph files and hand back others."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass

from quantkit.core.progress import Progress
from quantkit.graph.files import load_model, save_model
from quantkit.quantize.compare import compare_graphs
from quantkit.quantize.matrices import find_matrices
from quantkit.quantize.options import AnyScheme
from quantkit.quantize.tensors import GraphReport


class GraphScheme(AnyScheme):
    """Settings of a tool that chooses the tensors and the way they are stored by itself."""

    @abstractmethod
    def rewrite(self, graphs: Mapping[str, Path], out: Path) -> dict[str, Path]:
        """Quantize graph files.

        Args:
            graphs: float32 models by name, in a directory that may be written to. Their constants
                are initializers.
            out: an empty directory.

        Returns:
            The quantized models by name, somewhere below `out`.
        """


def rewritten(
    graphs: Mapping[str, ir.Model], scheme: GraphScheme, folder: Path, progress: Progress
) -> Iterator[tuple[str, ir.Model, GraphReport]]:
    """Quantize graphs by another tool and read off what it stored.

    Args:
        graphs: float32 models by name; their constants become initializers.
        scheme: the tool and its settings.
        folder: existing directory with room for the models twice.
        progress: told about each stored tensor.

    Yields:
        Name, quantized model and report of each graph. The weights of a model are on disk, and gone
        when the next one is asked for or the iterator is closed.

    Raises:
        InputError: a weight is not finite.
    """
    with TemporaryDirectory(dir=folder, prefix=".rewritten.") as name:
        source, out = Path(name) / "source", Path(name) / "out"
        out.mkdir()
        for graph, model in graphs.items():
            _copy(model, source / f"{graph}.onnx")
        copies = {graph: source / f"{graph}.onnx" for graph in graphs}
        for graph, path in scheme.rewrite(copies, out).items():
            before, after = load_model(copies[graph]), load_model(path)
            _rename_outputs(before, after)
            report = compare_graphs(before, after, progress, f"quantized {graph}")
            yield graph, after, report


def _copy(model: ir.Model, copy: Path) -> None:
    """Write a graph with its constants as initializers, if its matrices are finite.

    Olive loses external data of Constant nodes and stores NaN as something; ONNX Runtime writes
    beside the file it reads.
    """
    for matrix in find_matrices(model):
        matrix.read()
    LiftConstantsToInitializersPass()(model)
    save_model(model, copy)


def _rename_outputs(before: ir.Model, after: ir.Model) -> None:
    """Give outputs back their names, which Olive's round-to-nearest changes."""
    for old, new in zip(before.graph.outputs, after.graph.outputs, strict=True):
        new.name = old.name
