"""Trace a module into an ONNX file that says nothing about the machine that wrote it."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from torch import nn

from quantkit.graph.files import save_model

OPSET = 21


def export_module(
    module: nn.Module,
    inputs: tuple[Any, ...],
    input_names: Sequence[str],
    output_names: Sequence[str],
    path: Path,
    dynamic_shapes: tuple[Any, ...] | None = None,
) -> None:
    """Write `module` as `path`, large weights beside it as `path` + ".data".

    Inputs are examples, in nested lists where the module takes lists; there is one input name for
    each of their tensors in order, and likewise one output name.
    """
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            module,
            inputs,
            input_names=list(input_names),
            output_names=list(output_names),
            dynamic_shapes=dynamic_shapes,
            opset_version=OPSET,
            dynamo=True,
            optimize=False,
            verbose=False,
        )
    strip_origin(program.model)
    save_model(program.model, path)


def strip_origin(model: ir.Model) -> None:
    """Drop source paths and stack traces, which differ from machine to machine."""
    model.metadata_props.clear()
    model.doc_string = None
    graph = model.graph
    graph.metadata_props.clear()
    for value in [*graph.inputs, *graph.initializers.values()]:
        value.metadata_props.clear()
        value.doc_string = None
    for node in graph:
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints and logs its progress; a stage draws its own."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
