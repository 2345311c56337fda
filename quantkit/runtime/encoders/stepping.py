"""A session that runs step after step, its states fed back without copying them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


class SteppedSession:
    """Runs a session whose inputs and outputs are bound once to given arrays.

    The session writes the next states into buffers of its own, which are the inputs of the next
    step; two sets of buffers take turns. A state that the graph updates in place has one buffer,
    which is input and output at once. Any number of steps may share a session.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        inputs: Arrays,
        outputs: Arrays,
        states: Mapping[str, str],
        in_place: Collection[str] = (),
    ) -> None:
        """Bind arrays by name.

        `states` maps each state's input to the output that follows it; `in_place` are the inputs
        among them whose output takes the same buffer, whatever array `outputs` has for it.
        """
        self._session = session
        self.inputs, self.outputs, self._states = inputs, outputs, states
        for name in in_place:
            outputs[states[name]] = inputs[name]
        self._bindings = (self._bind(swapped=False), self._bind(swapped=True))
        self._turn = 0

    def reset(self) -> None:
        """Start anew: states of zero."""
        for name in self._states:
            self.inputs[name].fill(0)
        self._turn = 0

    def run(self) -> None:
        """Run the next step on what is in `inputs`; `outputs` then holds all but the states."""
        self._session.run_with_iobinding(self._bindings[self._turn])
        self._turn = 1 - self._turn

    def states(self) -> Arrays:
        """The arrays that the next step reads its states from, by input name."""
        return {
            before: self.outputs[after] if self._turn else self.inputs[before]
            for before, after in self._states.items()
        }

    def _bind(self, *, swapped: bool) -> ort.IOBinding:
        inputs, outputs = dict(self.inputs), dict(self.outputs)
        if swapped:
            for before, after in self._states.items():
                inputs[before], outputs[after] = outputs[after], inputs[before]
        binding = self._session.io_binding()
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
        for name, array in outputs.items():
            binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))
        return binding
