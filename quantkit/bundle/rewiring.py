"""The same graph behind other inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from quantkit.core.errors import InputError
from quantkit.graph.constants import add_constant

Sizes = Sequence[int | str]


class Rewiring:
    """A graph that is being given new inputs and outputs, in the order in which they are named.

    Every old input has to be fed with a new value; old outputs are taken or go. Nothing of the
    graph in between changes, and external weights stay where they are.
    """

    def __init__(self, model: ir.Model, what: str) -> None:
        """`what` is what messages call the graph."""
        self._model, self._graph, self._what = model, model.graph, what
        self._old_inputs = {str(value.name): value for value in model.graph.inputs}
        self._old_outputs = {str(value.name): value for value in model.graph.outputs}
        model.graph.inputs.clear()
        model.graph.outputs.clear()
        self._made = 0

    def input(self, name: str, kind: ir.DataType, shape: Sizes) -> ir.Value:
        """A new input."""
        value = ir.Value(name=name, type=ir.TensorType(kind), shape=ir.Shape(shape))
        self._graph.inputs.append(value)
        return value

    def output(self, name: str, value: ir.Value, kind: ir.DataType, shape: Sizes) -> None:
        """A new output; `value` goes by that name from now on."""
        value.name, value.type, value.shape = name, ir.TensorType(kind), ir.Shape(shape)
        self._graph.outputs.append(value)

    def feed(self, name: str, value: ir.Value) -> None:
        """Let what read the old input `name` read `value`."""
        old = self._old(self._old_inputs, name)
        del self._old_inputs[name]
        old.name = f"old_{name}"
        ir.convenience.replace_all_uses_with(old, value)

    def take(self, name: str) -> ir.Value:
        """The value that was the old output `name`."""
        return self._old(self._old_outputs, name)

    def op(self, kind: str, *inputs: ir.Value, **attributes: Any) -> ir.Value:
        """A new node of one output."""
        return self.ops(kind, inputs, 1, **attributes)[0]

    def ops(
        self, kind: str, inputs: Sequence[ir.Value], count: int, **attributes: Any
    ) -> list[ir.Value]:
        """A new node of several outputs."""
        self._made += 1
        name = f"bundle_{self._made}"
        node = ir.node(kind, inputs, attributes, num_outputs=count, name=name)
        for index, value in enumerate(node.outputs):
            value.name = f"{name}_{index}"
        self._graph.append(node)
        return list(node.outputs)

    def ints(self, *values: int) -> ir.Value:
        """A constant int64 [n]."""
        self._made += 1
        array = np.array(values, np.int64)
        return add_constant(self._graph, ir.tensor(array, name=f"bundle_{self._made}"))

    def number(self, value: float) -> ir.Value:
        """A constant float32 []."""
        self._made += 1
        array = np.array(value, np.float32)
        return add_constant(self._graph, ir.tensor(array, name=f"bundle_{self._made}"))

    def reshape(self, value: ir.Value, *shape: int) -> ir.Value:
        """`value` in another shape; 0 keeps an axis as it is."""
        return self.op("Reshape", value, self.ints(*shape))

    def rows(self, value: ir.Value, start: int, end: int) -> ir.Value:
        """Rows `start` to `end` of axis 1."""
        return self.op("Slice", value, self.ints(start), self.ints(end), self.ints(1))

    def finish(self) -> ir.Model:
        """The rewired model.

        Raises:
            InputError: an old input is left; the graph is none of quantkit's.
        """
        if self._old_inputs:
            raise InputError(
                f"{self._what}: has the inputs {', '.join(self._old_inputs)} too, which no graph "
                "of an artifact has; build the artifact again"
            )
        self._graph.sort()
        RemoveUnusedNodesPass()(self._model)
        return self._model

    def _old(self, values: dict[str, ir.Value], name: str) -> ir.Value:
        if name not in values:
            raise InputError(
                f"{self._what}: has no {name!r}; found {', '.join(values)}. Build the artifact "
                "again"
            )
        return values[name]
