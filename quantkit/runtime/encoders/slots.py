"""The encoder for several streams at once, each with its caches in a row of the batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from quantkit.runtime.encoders.cache_aware import rings, zeros
from quantkit.runtime.encoders.chunks import Chunk
from quantkit.runtime.running import RUN_ERRORS, cannot_run

Array = NDArray[np.float32]


class EncoderSlots:
    """Runs an encoder session over the next chunks of the streams in the first slots.

    Only as many rows run as there are chunks, so that slots without one cost nothing: who has the
    streams sees to it that those with a chunk are in front. Caches are bound once for each number
    of rows; keys and values are written where they lie.
    """

    def __init__(self, session: ort.InferenceSession, slots: int) -> None:
        self._session = session
        self._inputs = {node.name: zeros(node, slots) for node in session.get_inputs()}
        self._outputs = {node.name: zeros(node, slots) for node in session.get_outputs()}
        self._caches = [name for name in self._inputs if f"{name}_next" in self._outputs]
        in_place = rings(self._caches)
        for name in in_place:
            self._outputs[f"{name}_next"] = self._inputs[name]
        self._copied = [name for name in self._caches if name not in in_place]
        self._bindings: dict[int, ort.IOBinding] = {}

    def clear(self, slot: int) -> None:
        """Start a new stream there: empty caches."""
        for name in self._caches:
            self._inputs[name][slot] = 0

    def swap(self, a: int, b: int) -> None:
        """Let the streams of two slots change places."""
        for name in self._caches:
            self._inputs[name][[a, b]] = self._inputs[name][[b, a]]

    def step(self, chunks: Sequence[Chunk]) -> tuple[Array, list[int]]:
        """Encode one chunk of each of the first streams.

        Returns:
            Frames, float32 [chunks, T, dim], good until the next step, and how many of the T
            frames each stream has.

        Raises:
            InputError: ONNX Runtime cannot run the graph.
        """
        count = len(chunks)
        for slot, chunk in enumerate(chunks):
            self._inputs["features"][slot] = chunk.features[0]
            self._inputs["length"][slot] = chunk.length
        if count not in self._bindings:
            self._bindings[count] = self._bind(count)
        try:
            self._session.run_with_iobinding(self._bindings[count])
        except RUN_ERRORS as error:
            raise cannot_run("encoder.onnx", error) from error
        for name in self._copied:
            self._inputs[name][:count] = self._outputs[f"{name}_next"][:count]
        lengths: list[int] = self._outputs["encoded_length"][:count].tolist()
        return self._outputs["encoded"][:count], lengths

    def _bind(self, count: int) -> ort.IOBinding:
        binding = self._session.io_binding()
        for name, array in self._inputs.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array[:count]))
        for name, array in self._outputs.items():
            binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array[:count]))
        return binding
